"""What the operators of ONNX cost on a vector unit, and which ones only rename data.

Scalar operations per element follow `hwmodels.networks.build.SCALAR_OPS`; a reduction costs one per element read.
"""

from hwmodels.networks.build import SCALAR_OPS

__all__ = ["ACTIVATIONS", "BITS", "CONTRIBUTED", "COPIES", "ELEMENTWISE", "FREE", "GATHERS", "NORMS", "PASS_THROUGH",
           "POOLS",
           "REDUCTIONS",
           "SOFTMAXES"]

# Only another name, shape or view for the same data: compilers remove them or fold them into addressing.
FREE = frozenset({
    "Cast", "CastLike", "Concat", "Constant", "ConstantOfShape", "DequantizeLinear", "Dropout", "Expand", "Flatten",
    "Identity",
    "QuantizeLinear", "Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze", "Range",
    "EyeLike",
    "BitCast", "ReverseSequence",
})
# Of those, the ones behind which a weight is still the same weight (in this order of its elements or another).
PASS_THROUGH = frozenset({"Cast", "CastLike", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape",
                          "Squeeze",
                          "Transpose", "Unsqueeze", "Dropout"})
ACTIVATIONS = {
    "Relu": 1, "LeakyRelu": 2, "PRelu": 2, "ThresholdedRelu": 2, "Clip": 2, "Sigmoid": SCALAR_OPS["sigmoid"],
    "Tanh": SCALAR_OPS["tanh"], "HardSigmoid": 3, "HardSwish": SCALAR_OPS["hard_swish"], "Swish": SCALAR_OPS["swish"],
    "Gelu": SCALAR_OPS["gelu"], "Elu": 3, "Selu": 4, "Celu": 4, "Softplus": 3, "Softsign": 3, "Mish": 6, "Shrink": 3,
    "Erf": 3,
}
ELEMENTWISE = {
    **dict.fromkeys((
        "Add", "Sub", "Mul", "Div", "Min", "Max", "Mean", "Sum", "Pow", "Sqrt", "Exp", "Log", "Abs", "Neg",
        "Reciprocal", "Sign",
        "Floor", "Ceil", "Round", "Mod", "Where", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And",
        "Or", "Not",
        "Xor", "IsNaN", "IsInf", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "Trilu",
        "RandomNormalLike",
        "RandomUniformLike", "RandomNormal", "RandomUniform", "Bernoulli", "CumSum", "OneHot", "CumProd"), 1),
    **dict.fromkeys(("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh"), 3),
    "DynamicQuantizeLinear": 4, "RotaryEmbedding": SCALAR_OPS["rotary"], "GridSample": SCALAR_OPS["bilinear"],
    "AffineGrid": 3, "ImageDecoder": 1,
}
NORMS = {
    "BatchNormalization": SCALAR_OPS["batch_norm"], "InstanceNormalization": SCALAR_OPS["layer_norm"],
    "LayerNormalization": SCALAR_OPS["layer_norm"], "GroupNormalization": SCALAR_OPS["layer_norm"],
    "RMSNormalization": SCALAR_OPS["rms_norm"], "MeanVarianceNormalization": 5, "LpNormalization": 3,
}
SOFTMAXES = {"Softmax": SCALAR_OPS["softmax"], "LogSoftmax": SCALAR_OPS["softmax"] + 1, "Hardmax": 2}
POOLS = frozenset({"MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool", "RoiAlign",
                   "MaxRoiPool", "QLinearGlobalAveragePool"})
REDUCTIONS = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
                        "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin", "TopK"})
COPIES = frozenset({"Pad", "Tile", "DepthToSpace", "SpaceToDepth", "Resize", "Upsample", "CenterCropPad", "Col2Im",
                    "MaxUnpool"})
GATHERS = frozenset({"Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "Scatter", "Compress",
                     "TensorScatter"})

# Contributed operators (domain com.microsoft) whose first output has the shape of their first input, or of two operands
# broadcast: (kind of layer, scalar operations per element).
CONTRIBUTED = {
    "QLinearAdd": ("elementwise", 1), "QLinearMul": ("elementwise", 1), "QLinearSigmoid": ("activation", 3),
    "QLinearLeakyRelu": ("activation", 2), "QLinearSoftmax": ("softmax", SCALAR_OPS["softmax"]),
    "SkipLayerNormalization": ("norm", SCALAR_OPS["layer_norm"] + 1),
    "SkipSimplifiedLayerNormalization": ("norm", SCALAR_OPS["rms_norm"] + 1),
    "SimplifiedLayerNormalization": ("norm", SCALAR_OPS["rms_norm"]),
}

# Bits of an ONNX element type. A float32 graph is a trained network that deployment quantises: it counts as the 8 bit
# of the zoo until a workload says otherwise.
BITS = {1: 8, 11: 8, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 12: 32, 13: 64, 16: 16, 17: 8, 18: 8, 19: 8,
        20: 8,
        21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2}
