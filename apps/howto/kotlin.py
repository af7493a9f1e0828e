"""MediaPipe Tasks in Kotlin, for Android."""

from __future__ import annotations

from edgewright.apps.facts import UTF16, Given, filled

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
            .setBaseOptions(BaseOptions.builder().setModelAssetPath(<<file>>).build())
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
            .setBaseOptions(BaseOptions.builder().setModelAssetPath(<<file>>).build())
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
    "embedding": "",
}
_COSINE = """
/** How alike two pictures are, from -1 to 1. */
fun cosine(a: FloatArray, b: FloatArray): Float {
    fun dot(x: FloatArray, y: FloatArray) = x.indices.map { x[it] * y[it] }.sum()
    return dot(a, b) / sqrt(dot(a, a) * dot(b, b))
}"""


def write(given: Given) -> str:
    """The source file."""
    head, values = given.head, given.common(UTF16)
    values |= {
        "imports": "import kotlin.math.exp\n"
        if "logits" in head.kind
        else "import kotlin.math.sqrt\n"
        if head.is_embedding
        else "",
        "shape": "" if given.manifest.input.fit == "stretch" else f"; {given.fit}",
        "after": _COSINE if head.is_embedding else "",
    }
    values["answer"] = "        " + filled(_ANSWERS[given.answer], values).rstrip()
    return filled(_EMBEDDER if head.is_embedding else _MEDIAPIPE, values)
