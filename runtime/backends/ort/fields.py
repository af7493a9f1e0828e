"""Every field of every message of an .onnx file: number, kind, `*` where it repeats.

A reader that knows fewer of them than the interpreter would step over what the interpreter obeys.
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (IR version 13; held against the onnx package
by a test)
"""

from __future__ import annotations

from edgewright.runtime.backends.ort.protobuf import Schema

ONNX = Schema(
    messages={
        "Model": "1:int64 2:string 3:string 4:string 5:int64 6:string 7:Graph 8:*OperatorSetId "
        "14:*StringStringEntry 20:*TrainingInfo 25:*Function 26:*DeviceConfiguration",
        "OperatorSetId": "1:string 2:int64",
        "Graph": "1:*Node 2:string 5:*Tensor 10:string 11:*ValueInfo 12:*ValueInfo 13:*ValueInfo "
        "14:*TensorAnnotation 15:*SparseTensor 16:*StringStringEntry",
        "Node": "1:*string 2:*string 3:string 4:string 5:*Attribute 6:string 7:string 8:string "
        "9:*StringStringEntry 10:*NodeDeviceConfiguration",
        "Attribute": "1:string 2:float 3:int64 4:bytes 5:Tensor 6:Graph 7:*float 8:*int64 9:*bytes "
        "10:*Tensor 11:*Graph 13:string 14:Type 15:*Type 20:AttributeType 21:string 22:SparseTensor "
        "23:*SparseTensor",
        "Tensor": "1:*int64 2:int32 3:Tensor.Segment 4:*float 5:*int32 6:*bytes 7:*int64 8:string 9:bytes "
        "10:*double 11:*uint64 12:string 13:*StringStringEntry 14:DataLocation 16:*StringStringEntry",
        "Tensor.Segment": "1:int64 2:int64",
        "StringStringEntry": "1:string 2:string",
        "SparseTensor": "1:Tensor 2:Tensor 3:*int64",
        "Type": "1:Type.Tensor 4:Type.Sequence 5:Type.Map 6:string 7:Type.Opaque 8:Type.SparseTensor "
        "9:Type.Optional",
        "Type.Tensor": "1:int32 2:TensorShape",
        "Type.Sequence": "1:Type",
        "Type.Map": "1:int32 2:Type",
        "Type.Optional": "1:Type",
        "Type.SparseTensor": "1:int32 2:TensorShape",
        "Type.Opaque": "1:string 2:string",
        "TensorShape": "1:*TensorShape.Dimension",
        "TensorShape.Dimension": "1:int64 2:string 3:string",
        "NodeDeviceConfiguration": "1:string 2:*ShardingSpec 3:int32",
        "ShardingSpec": "1:string 2:*int64 3:*IntIntListEntry 4:*ShardedDim",
        "IntIntListEntry": "1:int64 2:*int64",
        "ShardedDim": "1:int64 2:*SimpleShardedDim",
        "SimpleShardedDim": "1:int64 2:string 3:int64",
        "ValueInfo": "1:string 2:Type 3:string 4:*StringStringEntry",
        "TensorAnnotation": "1:string 2:*StringStringEntry",
        "TrainingInfo": "1:Graph 2:Graph 3:*StringStringEntry 4:*StringStringEntry",
        "Function": "1:string 4:*string 5:*string 6:*string 7:*Node 8:string 9:*OperatorSetId 10:string "
        "11:*Attribute 12:*ValueInfo 13:string 14:*StringStringEntry",
        "DeviceConfiguration": "1:string 2:int32 3:*string",
    },
    enums={"AttributeType": range(15), "DataLocation": range(2)},
    either={
        "Type": {1, 4, 5, 7, 8, 9},
        "TensorShape.Dimension": {1, 2},
        "SimpleShardedDim": {1, 2},
    },
    listed=("Tensor",),
)
