"""Kotlin for Android: LiteRT's interpreter, or MediaPipe Tasks."""

# ruff: noqa: E501  (lines of source files are as long as their platform's are)
from __future__ import annotations

from edgewright.apps.facts import Code, Given, filled

_LITERT = """
// app/build.gradle.kts:
//     dependencies { implementation("com.google.ai.edge.litert:litert:1.4.0") }
//     android { androidResources { noCompress += "tflite" } }
// <<file>><<and_labels>> in app/src/main/assets
import android.content.Context
import android.graphics.Bitmap
import android.graphics.Color
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
<<imports>>import org.tensorflow.lite.Interpreter

class PictureModel(context: Context) : AutoCloseable {
    private val interpreter = context.assets.openFd("<<file>>").use {
        val channel = FileInputStream(it.fileDescriptor).channel
        Interpreter(channel.map(FileChannel.MapMode.READ_ONLY, it.startOffset, it.declaredLength))
    }
<<read_labels>>
    /** [bitmap]: upright, brought to <<width>>x<<height>>: <<fit>>. */
    fun run(bitmap: Bitmap): <<result>> {
        val input = ByteBuffer.allocateDirect(<<height>> * <<width>> * <<channels>> * <<pixel_bytes>>).order(ByteOrder.nativeOrder())
        for (y in 0 until <<height>>) for (x in 0 until <<width>>) {
            val pixel = bitmap.getPixel(x, y)
            val (r, g, b) = listOf(Color.red(pixel), Color.green(pixel), Color.blue(pixel))
            <<pixels>>.forEach { input.<<put>> }
        }
        input.rewind()
        val output = Array(1) { <<array>>(<<count>>) }
        interpreter.run(input, output)
        val scores = output[0].map { <<score>> }
<<found>><<answer>>
    }

    override fun close() = interpreter.close()
}
<<after>>
"""
_MEDIAPIPE = """
// app/build.gradle.kts:
//     dependencies { implementation("com.google.mediapipe:tasks-vision:0.10.14") }
//     android { androidResources { noCompress += "tflite" } }
// <<file>> in app/src/main/assets; size, scaling and labels are read from its metadata
import android.content.Context
import android.graphics.Bitmap
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.imageclassifier.ImageClassifier
<<imports>>
class PictureModel(context: Context) : AutoCloseable {
    private val classifier = ImageClassifier.createFromOptions(
        context,
        ImageClassifier.ImageClassifierOptions.builder()
            .setBaseOptions(BaseOptions.builder().setModelAssetPath("<<file>>").build())
            .build(),
    )

    /** [bitmap]: upright<<shape>>. */
    fun run(bitmap: Bitmap): List<Pair<String, Float>> {
        val result = classifier.classify(BitmapImageBuilder(bitmap).build()).classificationResult()
        val found = result.classifications()[0].categories().map { it.categoryName() to it.score() }
<<answer>>
    }

    override fun close() = classifier.close()
}
"""
_EMBEDDER = """
// app/build.gradle.kts:
//     dependencies { implementation("com.google.mediapipe:tasks-vision:0.10.14") }
//     android { androidResources { noCompress += "tflite" } }
// <<file>> in app/src/main/assets; size and scaling are read from its metadata
import android.content.Context
import android.graphics.Bitmap
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.imageembedder.ImageEmbedder
<<imports>>
class PictureModel(context: Context) : AutoCloseable {
    private val embedder = ImageEmbedder.createFromOptions(
        context,
        ImageEmbedder.ImageEmbedderOptions.builder()
            .setBaseOptions(BaseOptions.builder().setModelAssetPath("<<file>>").build())
            .build(),
    )

    /** [bitmap]: upright<<shape>>. */
    fun run(bitmap: Bitmap): FloatArray =
        embedder.embed(BitmapImageBuilder(bitmap).build()).embeddingResult().embeddings()[0].floatEmbedding()

    override fun close() = embedder.close()
}
<<after>>
"""
_SORTED = "        return found.sortedByDescending { it.second }"
_BINARY = """        val yes = <<yes_of>>
        val both = listOf(<<no>> to 1f - yes, <<yes>> to yes)
        return if (yes > <<threshold>>f) both.reversed() else both  // what it is, and what it is not"""
_SEVERAL = """        val probable = found.map { (label, score) -> label to <<each>> }
        return probable.filter { it.second > <<threshold>>f }.sortedByDescending { it.second }"""
_ANSWERS = {
    "softmax": _SORTED,
    "logits": """        val largest = found.maxOf { it.second }
        val powers = found.map { (label, score) -> label to exp(score - largest) }
        val sum = powers.map { it.second }.sum()
        return powers.map { (label, power) -> label to power / sum }.sortedByDescending { it.second }""",
    "binary": _BINARY.replace("<<yes_of>>", "found[0].second"),
    "binary-logits": _BINARY.replace("<<yes_of>>", "1f / (1f + exp(-found[0].second))"),
    "sigmoid": _SEVERAL.replace("<<each>>", "score"),
    "sigmoid-logits": _SEVERAL.replace("<<each>>", "1f / (1f + exp(-score))"),
    "embedding": "        return scores.toFloatArray()",
}
_COSINE = """
/** How alike two pictures are, from -1 to 1. */
fun cosine(a: FloatArray, b: FloatArray): Float {
    fun dot(x: FloatArray, y: FloatArray) = x.indices.map { x[it] * y[it] }.sum()
    return dot(a, b) / sqrt(dot(a, a) * dot(b, b))
}"""


def _write(given: Given, mediapipe: bool) -> str:
    head = given.head
    luma = "listOf((r * 299 + g * 587 + b * 114) / 1000)"
    values = given.common("\\u{:04x}")
    dequantized = f"((it.toInt() and 0xff) - {values['zero_point']}) * {values['scale']}f"
    names = 'private val labels = context.assets.open("labels.txt").bufferedReader().readLines()'
    has_list = not (head.is_embedding or head.is_binary)
    found = f"listOf({values['yes']} to scores[0])" if head.is_binary else "labels.zip(scores)"
    values |= {
        "and_labels": " and labels.txt lie" if has_list else " lies",
        "read_labels": f"    {names}\n" if has_list else "",
        "found": "" if head.is_embedding else f"        val found = {found}\n",
        "imports": "import kotlin.math.exp\n"
        if "logits" in head.kind
        else "import kotlin.math.sqrt\n"
        if head.is_embedding
        else "",
        "result": "FloatArray" if head.is_embedding else "List<Pair<String, Float>>",
        "pixel_bytes": "1" if given.takes_bytes else "4",
        "pixels": luma if given.is_grey else "listOf(r, g, b)",
        "put": "put(it.toByte())" if given.takes_bytes else "putFloat(it.toFloat())",
        "array": "ByteArray" if given.gives_bytes else "FloatArray",
        "score": dequantized if given.gives_bytes else "it",
        "shape": "" if given.manifest.input.fit == "stretch" else f"; {given.fit}",
        "after": _COSINE if head.is_embedding else "",
    }
    values["answer"] = filled(_ANSWERS[given.answer], values).rstrip()
    values["answer"] = "        " + values["answer"]
    if not mediapipe:
        return filled(_LITERT, values)
    return filled(_EMBEDDER if head.is_embedding else _MEDIAPIPE, values)


CODE = Code(suffixes=(".tflite",), one_image=True, write=_write)
