"""Neural-network building blocks: modules, layers, initialisation and the functional face of the ops."""

from . import functional, init
from .activation import (
    ELU,
    GELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .clip import clip_grad_norm_
from .containers import ModuleDict, ModuleList, Sequential
from .conv import Conv2d, ConvTranspose2d, Linear
from .fold import ChannelShuffle, Fold, PixelShuffle, PixelUnshuffle, Unfold
from .layers import (
    CircularPad2d,
    ConstantPad2d,
    Dropout,
    Dropout2d,
    Flatten,
    Identity,
    ReflectionPad2d,
    ReplicationPad2d,
    Upsample,
    UpsamplingBilinear2d,
    UpsamplingNearest2d,
    ZeroPad2d,
)
from .loss import BCEWithLogitsLoss, CrossEntropyLoss, DiceLoss, L1Loss, MSELoss, NLLLoss
from .module import Module, Parameter
from .norm import BatchNorm1d, BatchNorm2d, LocalResponseNorm
from .pool import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, LPPool2d, MaxPool2d, MaxUnpool2d
from .summary import summary
