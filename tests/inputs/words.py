"""Bad words on the command line: names, paths and settings."""

#: What is no name of anything: tried as a method's, a run's id and, where it can be typed, a plugin's.
NAMES = (
    "", " ", ".", "..", "../up", "a/b", "a\\b", "/etc/passwd", "~", "-rf", "_hidden", ".hidden", "end.", "a b", "a\nb",
    "a\tb", "a\x1b[2J", "a\x7fb", "a\u202eb", "a\u200bb", "é", "a" * 65, "con", "CON", "nul.txt", "Aux", "com1",
    "LPT9.yaml", "a:b", "a=b", "a,b", "a;b", "$(touch canary)", "`touch canary`", "%s%n", "{0}", "<b>", "a|b", "a*",
)  # fmt: skip

#: What is no folder to write to.
PATHS = (
    "", "\udcff", "x/\udce4/y", "nul\0byte", "x/" * 2000 + "y", "~nobody-has-this-name/x",
    "a\x1b[2J", "a\nb", "\u202eb", "con", "x/NUL/y", "aux.d", "a" * 300, "x/" + "b" * 256 + "/y",
)  # fmt: skip

#: What is no `--set` option of a grid with the methods student and kd.
SETTINGS = (
    "", "=", "a", "a=", ".=1", "recipe", "recipe=1", "recipe.=1", ".epochs=1", "recipe.epochs", "recipe.epochs=",
    "recipe.epochs=two", "recipe.epochs=0", "recipe.epochs=-1", "recipe.epochs=1.5", "recipe.epochs=1e99",
    "recipe.epochs=" + "9" * 5000, "recipe.epochs=[1]", "recipe.epochs={a: 1}", "recipe.epochs=!!python/name:os.system",
    "recipe.lr=.nan", "recipe.lr=.inf", "recipe.lr=-1", "recipe.lr=2001-99-99", "recipe.lr=!!bool maybe",
    "recipe.lr=!!timestamp never", "recipe.lr=!!int ''", "recipe.lr=!!float ''", "recipe.lr=&a [*a]",
    "recipe.lr=" + "[" * 5000, "recipe.lr=" + "{a: " * 50 + "}" * 50, "recipe.lr=a\x1b[2J", "recipe.lr='",
    "recipe.lr=? [1]\n: 2", "recipe.lr=" + "a" * 1_000_001, "recipe." + "a." * 5000 + "b=1", "recipe.__class__=1",
    "recipe.base=../../etc/passwd", "recipe.augmentation=1", "recipe.augmentation.crop_padding=1000000000",
    "recipe.precision=fp64", "recipe.milestones=1", "recipe.lr_by_family=[1]", "recipe.lr_by_family={1: 2}",
    "kd.temperature=hot", "kd.temperature=.nan", "kd.__init__=1", "kd.a.b=1", "kd.1=2", "nobody.x=1", "../kd.x=1",
)  # fmt: skip
