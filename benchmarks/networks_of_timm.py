"""The table of timm's families in docs/networks.md: what kdbench makes of a small network of each.

    python benchmarks/networks_of_timm.py table.json [NAME…]

A family is a module of timm. What has been looked at is kept in the file, with which the same command goes on; the
table is printed at the end.
"""

import json
import sys
from pathlib import Path
from typing import Any

import timm
import torch

from kdbench.inputs.errors import UserError
from kdbench.model import FEATURES
from kdbench.plugins import load_plugins
from kdbench.trial import Side, why_declined

CLASSES = 1000
REGISTRY = load_plugins()


#: A small network of each family, but for the few whose smallest is large.
NAMES = """
beit_base_patch16_224 botnet26t_256 resnext26ts cait_xxs24_224 coat_lite_tiny convit_tiny convmixer_768_32
convnext_atto cs3darknet_focus_s davit_tiny deit_tiny_distilled_patch16_224 densenet121 dla46_c dpn48b
edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientnet_b0 efficientvit_b0 efficientvit_m0
eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny ghostnet_050 hgnetv2_b0 hiera_tiny_224
hrnet_w18_small inception_next_atto inception_v3 inception_v4 levit_128s lcnetv2_base mambaout_femto
coatnet_pico_rw_224 poolformer_s12 mixer_s32_224 mobilenetv3_small_050 mobilevit_xxs mvitv2_tiny nest_tiny
nextvit_small dm_nfnet_f0 pit_ti_224 pvt_v2_b0 rdnet_tiny regnetx_002 repghostnet_050 repvit_m0_9 res2net50_26w_4s
resnest14d resnet18 resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18 starnet_s1
swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224
tnt_s_legacy_patch16_224 tresnet_m twins_svt_small vgg11 visformer_tiny vit_tiny_patch16_224 vit_tiny_r_s16_p8_224
vit_relpos_small_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw legacy_xception xception41
xcit_nano_12_p16_224 crossvit_tiny_240
"""


def family(name: str) -> str:
    module: str = timm.models.model_entrypoint(name).__module__
    return module.rpartition(".")[2]


@torch.no_grad()
def looked_at(name: str) -> dict[str, Any]:
    """A row of the table, or the sentence with which the network is refused."""
    try:
        architecture = REGISTRY.architecture(f"timm:{name}")
        model = architecture.build(CLASSES).eval()
        pixels = model.net.default_cfg["input_size"][-1]
        shapes = architecture.shapes(CLASSES, pixels)
    except UserError as error:
        return {"name": name, "refused": str(error)}
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=CLASSES).eval()
    for parameter in theirs.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))  # some begin at 0
    model.net.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, pixels, pixels)
    logits = theirs(images)
    apart = ((model.outputs(images).logits - logits).abs().max() / logits.abs().max()).item()
    sizes = [sum(p.numel() for p in network.parameters()) for network in (model, theirs)]
    side = Side(architecture, shapes, pixels)
    return {
        "name": name,
        "pixels": pixels,
        "stages": shapes.stages,
        "parameters": sizes[0],
        "same_parameters": sizes[0] == sizes[1],
        "apart": apart,
        "branches": [after for after in range(1, len(shapes.stages)) if after not in shapes.unbranched],
        "absent": shapes.absent,
        "declines": [method for method in REGISTRY.usable("method") if _declines(method, side)],
    }


def _declines(name: str, side: Side) -> bool:
    """Whether a method declines the network as teacher and student at once, so that sizes are no reason."""
    method = REGISTRY.method(name)
    params = method.Params()
    teacher = side if method.needs_for(params).teacher else None
    return why_declined(method, params, side, teacher) is not None


def table(rows: dict[str, dict[str, Any]]) -> str:
    taken = {family: row for family, row in sorted(rows.items()) if "refused" not in row}
    everywhere = set.intersection(*(set(row["declines"]) for row in taken.values()))
    never = {feature for feature in FEATURES if all(feature in row["absent"] for row in taken.values())}
    lines = [
        f"{len(taken)} of {len(rows)} families of timm {timm.__version__}. All lack {_code(sorted(never))}, which "
        f"{_code(sorted(everywhere))} read.",
        "",
        "| family | network, at pixels | stages | parameters | logits apart | branch after | lacks | declined by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for family, row in taken.items():
        stages = ", ".join("×".join(map(str, stage)) for stage in row["stages"])
        branches = ", ".join(map(str, row["branches"])) or "none"
        lacks = _code([feature for feature in row["absent"] if feature not in never])
        declined = _code([method for method in row["declines"] if method not in everywhere])
        parameters = f"{row['parameters']:,}" if row["same_parameters"] else "not timm's"
        network = f"`{row['name']}`, {row['pixels']}"
        cells = (f"`{family}`", network, stages, parameters, f"{row['apart']:.0e}", branches, lacks, declined)
        lines.append(f"| {' | '.join(cells)} |")
    lines += [""] + [f"- `{family}`: {row['refused']}" for family, row in sorted(rows.items()) if "refused" in row]
    return "\n".join(lines)


def _code(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def main(file: str, *names: str) -> None:
    path = Path(file)
    rows = json.loads(path.read_text()) if path.exists() else {}
    for name in names or NAMES.split():
        if family(name) not in rows:
            print(name, file=sys.stderr, flush=True)
            rows[family(name)] = looked_at(name)
            path.write_text(json.dumps(rows, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
