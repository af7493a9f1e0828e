"""Kotlin for Android: an app by LiteRT and CameraX. What touches neither is plain Kotlin, for any JVM."""

from __future__ import annotations

from edgewright.apps.facts import UTF16, Given, filled, joined, template
from edgewright.apps.projects import App

_SOURCES = "app/src/main/java/com/example/picturemodel"
_FILES = {
    "README.md": "README.md",
    "settings.gradle.kts": "settings.gradle.kts",
    "build.gradle.kts": "build.gradle.kts",
    "gradle.properties": "gradle.properties",
    "gradle/wrapper/gradle-wrapper.properties": "gradle-wrapper.properties",
    "app/build.gradle.kts": "app.gradle.kts",
    "app/src/main/AndroidManifest.xml": "AndroidManifest.xml",
    "app/src/main/res/values/strings.xml": "strings.xml",
    f"{_SOURCES}/Contract.kt": "Contract.kt",
    f"{_SOURCES}/PictureModel.kt": "PictureModel.kt",
    f"{_SOURCES}/LiteRt.kt": "LiteRt.kt",
    f"{_SOURCES}/CameraActivity.kt": "CameraActivity.kt",
    "app/src/parity/java/com/example/picturemodel/Parity.kt": "Parity.kt",
    "app/src/test/java/com/example/picturemodel/ParityTest.kt": "ParityTest.kt",
    "app/src/androidTest/java/com/example/picturemodel/GoldenTest.kt": "GoldenTest.kt",
}
SUFFIXES = (".tflite",)
_GPU_TEST = """    @Test
    fun goldensAreRightOnTheGpu() = goldensAreRight(gpu = true)

"""
_FOR_GPU = """The file runs on the CPU, by `openModel(context, gpu = true)` on the GPU; nothing is known of it
that GPUs compute wrongly, so `GoldenTest` tries that too: ship it if it passes on your devices."""
_NOT_FOR_GPU = (
    "The file runs on the CPU alone: GPUs are known to compute it wrongly, and `openModel` refuses them."
)


def core(given: Given, file: str) -> str:
    """The source files that run the model file `file`, in one."""
    values = _values(given, file)
    comment = (
        "// app/build.gradle.kts:\n"
        '//     dependencies { implementation("com.google.ai.edge.litert:litert:2.3.0")\n'
        '//         implementation("androidx.exifinterface:exifinterface:1.4.1") }\n'
        '//     android { androidResources { noCompress += "tflite" } }\n'
        "// the model file and labels.txt lie in app/src/main/assets\n"
    )
    parts = [_made(name, values) for name in ("Contract.kt", "PictureModel.kt", "LiteRt.kt")]
    return comment + joined(parts, ("package ", "import "))


class KotlinProject:
    """An Android app, with tests for any JVM and for the device."""

    suffixes = SUFFIXES

    def files(self, app: App) -> dict[str, bytes]:
        values = _values(app.given, app.model_file)
        assets = {app.model_file: app.model, "labels.txt": app.labels_file()}
        return {
            **{path: _made(name, values).encode() for path, name in _FILES.items()},
            **{f"app/src/main/assets/{name}": raw for name, raw in assets.items()},
            **{f"app/src/parity/data/{name}": raw for name, raw in app.parity.items()},
        }


def _made(name: str, values: dict[str, str]) -> str:
    return filled(template(__name__, name), values)


def _values(given: Given, file: str) -> dict[str, str]:
    values = given.common(UTF16, file)
    gpu = given.is_for_gpu
    return {
        **values,
        "gpu_test": _GPU_TEST if gpu else "",
        "gpu_dependency": '    implementation("com.google.ai.edge.litert:litert-gpu:2.3.0")\n' if gpu else "",
        "gpu_words": _FOR_GPU if gpu else _NOT_FOR_GPU,
    }


PROJECT = KotlinProject()
