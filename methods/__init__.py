"""The built-in methods, one file each; they reach the harness through the hook that anybody's plugin uses."""

from kdbench.hookspecs import hookimpl
from kdbench.method import Method
from kdbench_methods.ab import AB
from kdbench_methods.at import AT
from kdbench_methods.byot import BYOT
from kdbench_methods.cat_kd import CATKD
from kdbench_methods.cc import CC
from kdbench_methods.crd import CRD
from kdbench_methods.ctkd import CTKD
from kdbench_methods.dist import DIST
from kdbench_methods.dkd import DKD
from kdbench_methods.dks import DKS
from kdbench_methods.dskd import DSKD
from kdbench_methods.dsn import DSN
from kdbench_methods.dtd import DTD
from kdbench_methods.fitnet import FitNet
from kdbench_methods.fsp import FSP
from kdbench_methods.ft import FT
from kdbench_methods.ickd import ICKD
from kdbench_methods.ka import KA
from kdbench_methods.ka_dtd import KADTD
from kdbench_methods.kd import KD
from kdbench_methods.kd_weighted import WeightedKD
from kdbench_methods.kdsvd import KDSVD
from kdbench_methods.lskd import LSKD
from kdbench_methods.mlld import MLLD
from kdbench_methods.mtkd_ssr import MTKDSSR
from kdbench_methods.nkd import NKD
from kdbench_methods.normkd import NormKD
from kdbench_methods.nst import NST
from kdbench_methods.ofd import OFD
from kdbench_methods.pkt import PKT
from kdbench_methods.reviewkd import ReviewKD
from kdbench_methods.rkd import RKD
from kdbench_methods.sdd import SDD
from kdbench_methods.sdd_dkd import SDDDKD
from kdbench_methods.semckd import SemCKD
from kdbench_methods.simkd import SimKD
from kdbench_methods.sp import SP
from kdbench_methods.srrl import SRRL
from kdbench_methods.student import Student
from kdbench_methods.ttm import TTM
from kdbench_methods.vid import VID
from kdbench_methods.wttm import WTTM


@hookimpl
def kdbench_methods() -> list[type[Method]]:
    table1 = [Student, KD, FitNet, AT, VID, DSN, BYOT, DKS, DSKD]
    neighbours = [WeightedKD, KA, DTD, KADTD, MTKDSSR]
    field = [SP, RKD, PKT, NST, CC, DKD, CRD, ReviewKD, SemCKD, SimKD]
    features = [FSP, KDSVD, AB, FT, OFD, SRRL, ICKD, CATKD]
    recent = [DIST, LSKD, TTM, WTTM, NKD, NormKD, SDD, SDDDKD, CTKD, MLLD]
    return [*table1, *neighbours, *field, *features, *recent]
