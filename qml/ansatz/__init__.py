"""Wave functions: ready-made networks, and the bridge that takes anybody's."""

from qml.ansatz.autoregressive import Autoregressive
from qml.ansatz.bridge import Ansatz, to_ansatz
from qml.ansatz.causal import CausalConv, CausalDense
from qml.ansatz.causal_deep import CausalRNN, CausalTransformer
from qml.ansatz.combine import Phase, Product, Sum
from qml.ansatz.convnet import ConvNeXt, ResConv
from qml.ansatz.gcnn import GCNN
from qml.ansatz.jastrow import Jastrow
from qml.ansatz.layers import log_cosh
from qml.ansatz.mean_field import MeanField
from qml.ansatz.mlp import MLP
from qml.ansatz.rbm import RBM
from qml.ansatz.rbm_symm import RBMSymm
from qml.ansatz.signs import MarshallSign
from qml.ansatz.symmetrise import Symmetrised
from qml.ansatz.vit import ViT

__all__ = [
    "GCNN",
    "MLP",
    "RBM",
    "Ansatz",
    "Autoregressive",
    "CausalConv",
    "CausalDense",
    "CausalRNN",
    "CausalTransformer",
    "ConvNeXt",
    "Jastrow",
    "MarshallSign",
    "MeanField",
    "Phase",
    "Product",
    "RBMSymm",
    "ResConv",
    "Sum",
    "Symmetrised",
    "ViT",
    "log_cosh",
    "to_ansatz",
]
