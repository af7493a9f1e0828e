"""How an app feeds a file of a bundle: a snippet a platform, filled in from the file's own contract.

Nothing about the model is written down here: sizes, channels, types and quantization come from the
manifest, so a snippet cannot disagree with the file it is for.
"""

# ruff: noqa: E501  (lines of snippets are as long as their platform's are)
from __future__ import annotations

from collections.abc import Mapping

from edgewright.runtime.bundle.manifest import Manifest, VariantEntry
from edgewright.runtime.errors import BundleError

FITS = {
    "stretch": "resize to {width}x{height}, whatever the picture's shape",
    "crop": "crop the middle to {width}:{height}, then resize to {width}x{height}",
    "letterbox": "resize to fit into {width}x{height} and fill the rest with black",
}


def facts(manifest: Manifest, variant: VariantEntry) -> str:
    """What every app has to do for this file, in a few lines."""
    given, scores = manifest.input, variant.output
    fit = FITS[given.fit].format(width=given.width, height=given.height)
    kind = "grey" if given.channels == 1 else "RGB"
    quantized = f", score = {scores.scale:.8g} * (value - {scores.zero_point})" if scores.scale else ""
    meaning = "probabilities" if manifest.head == "softmax" else "logits: the largest is the best class"
    return "\n".join(
        [
            f"file    {variant.file.file}, {variant.file.bytes:,} bytes",
            f"input   {variant.input.dtype} {variant.input.shape}: {kind} pixels 0-255; the file scales them",
            f"fit     {fit} ({given.resample})",
            f"output  {scores.dtype} {scores.shape}: {meaning}{quantized}",
            f"labels  {len(manifest.labels)}, in labels.txt, in the order of the scores",
        ]
    )


def snippet(platform: str, manifest: Manifest, variant: VariantEntry) -> str:
    """Code for `platform`, one of `PLATFORMS`, that labels one picture.

    Raises:
        BundleError: the platform has no snippet for files of this kind.
    """
    suffix = variant.file.file[variant.file.file.rfind(".") :]
    template = _SNIPPETS[platform].get(suffix)
    if template is None:
        raise BundleError(
            f"expected a {' or '.join(_SNIPPETS[platform])} file for {platform}, got {variant.file.file}; "
            "export one with --variants"
        )
    if template is not _PYTHON and variant.input.shape[0] != 1:
        raise BundleError(
            f"expected a file that takes one image at a time, got {variant.file.file}; export without --batch"
        )
    return _code(template, manifest, variant)


def for_platform(platform: str, manifest: Manifest) -> VariantEntry:
    """The smallest variant that `platform` has a snippet for. Raises `BundleError`."""
    fitting = [v for v in manifest.variants if v.file.file.endswith(tuple(_SNIPPETS[platform]))]
    if not fitting:
        raise BundleError(
            f"expected a {' or '.join(_SNIPPETS[platform])} file for {platform} in the bundle, got none"
        )
    return min(fitting, key=lambda variant: variant.file.bytes)


def _code(text: str, manifest: Manifest, variant: VariantEntry) -> str:
    """`text` with `$name` replaced by what the contract says of it."""
    given, score = manifest.input, variant.output
    unsigned = score.dtype == "uint8"
    values = {
        "file": variant.file.file,
        "stem": variant.file.file.rpartition(".")[0],
        "input": variant.input.name,
        "height": given.height,
        "width": given.width,
        "channels": given.channels,
        "batch": variant.input.shape[0],
        "classes": len(manifest.labels),
        "kotlin_pixel": "it.toByte()" if variant.input.dtype == "uint8" else "it.toFloat()",
        "kotlin_put": "put" if variant.input.dtype == "uint8" else "putFloat",
        "kotlin_scores": "ByteArray" if unsigned else "FloatArray",
        "kotlin_score": f"((it.toInt() and 0xff) - {score.zero_point}) * {score.scale:.9g}f"
        if unsigned
        else "it",
        "pixel_bytes": 1 if variant.input.dtype == "uint8" else 4,
        "swift_pixel": "UInt8" if variant.input.dtype == "uint8" else "Float32",
        "swift_score": "UInt8" if unsigned else "Float32",
        "swift_dequantize": f"(Float($0) - {score.zero_point}) * {score.scale:.9g}" if unsigned else "$0",
        "channels_of_pixel": "listOf((r * 299 + g * 587 + b * 114) / 1000)"
        if given.channels == 1
        else "listOf(r, g, b)",
        "swift_channels": "[(r * 299 + g * 587 + b * 114) / 1000]" if given.channels == 1 else "[r, g, b]",
    }
    code = text.strip()
    for name in sorted(values, key=len, reverse=True):
        code = code.replace(f"${{{name}}}", str(values[name]))
    return code


_ANDROID = """
// implementation("com.google.ai.edge.litert:litert:1.4.0"); ${file} and labels.txt lie in src/main/assets
val model = context.assets.openFd("${file}").use {
    FileInputStream(it.fileDescriptor).channel.map(READ_ONLY, it.startOffset, it.declaredLength)
}
val interpreter = Interpreter(model)
val labels = context.assets.open("labels.txt").bufferedReader().readLines()
// bitmap: upright, brought to ${width}x${height} as under "fit"
val input = ByteBuffer.allocateDirect(${width} * ${height} * ${channels} * ${pixel_bytes}).order(ByteOrder.nativeOrder())
for (y in 0 until ${height}) for (x in 0 until ${width}) {
    val (r, g, b) = bitmap.getPixel(x, y).let { listOf(it.red, it.green, it.blue) }
    ${channels_of_pixel}.forEach { input.${kotlin_put}(${kotlin_pixel}) }
}
val scores = Array(1) { ${kotlin_scores}(${classes}) }
interpreter.run(input.rewind(), scores)
val best = scores[0].map { ${kotlin_score} }.withIndex().maxBy { it.value }
println("${labels[best.index]} ${best.value}")
"""
_IOS = """
// pod "TensorFlowLiteSwift"; ${file} and labels.txt are resources of the app
let interpreter = try Interpreter(modelPath: Bundle.main.path(forResource: "${stem}", ofType: "tflite")!)
let labels = try String(contentsOf: Bundle.main.url(forResource: "labels", withExtension: "txt")!).split(separator: "\\n")
try interpreter.allocateTensors()
// rgb: [(Int, Int, Int)], the pixels of the upright picture at ${width}x${height}, row by row, as under "fit"
let pixels = rgb.flatMap { (r, g, b) in ${swift_channels}.map { ${swift_pixel}($0) } }
try interpreter.copy(pixels.withUnsafeBytes { Data($0) }, toInputAt: 0)
try interpreter.invoke()
let raw = try interpreter.output(at: 0).data.withUnsafeBytes { Array($0.bindMemory(to: ${swift_score}.self)) }
let scores = raw.map { ${swift_dequantize} }
let best = scores.indices.max { scores[$0] < scores[$1] }!
print(labels[best], scores[best])
"""
_PYTHON = """
# the file, its contract and labels included, is all it needs
from edgewright.runtime import load

with load("${file}") as predictor:
    for found in predictor.predict("picture.jpg", k=3):
        print(found.label, found.probability)
"""
_SNIPPETS: Mapping[str, Mapping[str, str]] = {
    "android": {".tflite": _ANDROID},
    "ios": {".tflite": _IOS},
    "raspberry-pi": {".tflite": _PYTHON, ".onnx": _PYTHON},
}
PLATFORMS = tuple(_SNIPPETS)
