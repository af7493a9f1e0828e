"""Swift for iOS: TensorFlow Lite's interpreter, or MediaPipe Tasks."""

# ruff: noqa: E501  (lines of source files are as long as their platform's are)
from __future__ import annotations

from edgewright.apps.facts import Code, Given, filled

_LITERT = """
// Podfile: pod "TensorFlowLiteSwift"
// <<file>><<and_labels>> of the app (Copy Bundle Resources)
import Foundation
import TensorFlowLite

final class PictureModel {
    private let interpreter: Interpreter
<<declare_labels>>
    init(bundle: Bundle = .main) throws {
        guard let model = bundle.path(forResource: "<<stem>>", ofType: "tflite")<<guard_labels>> else {
            throw CocoaError(.fileNoSuchFile)
        }
        interpreter = try Interpreter(modelPath: model)
        try interpreter.allocateTensors()
<<read_labels>>    }

    /// `rgb`: the pixels of an upright picture of <<width>>x<<height>>, row by row: <<fit>>.
    func run(_ rgb: [(r: Int, g: Int, b: Int)]) throws -> <<result>> {
        let pixels: [<<pixel>>] = rgb.flatMap { (r, g, b) in <<pixels>>.map { <<pixel>>($0) } }
        try interpreter.copy(pixels.withUnsafeBytes { Data($0) }, toInputAt: 0)
        try interpreter.invoke()
        let raw = try interpreter.output(at: 0).data.withUnsafeBytes { Array($0.bindMemory(to: <<raw>>.self)) }
        let scores: [Float] = raw.map { <<score>> }
<<found>><<answer>>
    }
}
<<after>>
"""
_MEDIAPIPE = """
// Podfile: pod "MediaPipeTasksVision"
// <<file>> is a resource of the app (Copy Bundle Resources); size, scaling and labels are read from its metadata
import Foundation
import MediaPipeTasksVision
import UIKit

final class PictureModel {
    private let classifier: ImageClassifier

    init(bundle: Bundle = .main) throws {
        guard let model = bundle.path(forResource: "<<stem>>", ofType: "tflite") else {
            throw CocoaError(.fileNoSuchFile)
        }
        let options = ImageClassifierOptions()
        options.baseOptions.modelAssetPath = model
        classifier = try ImageClassifier(options: options)
    }

    /// `picture`: of any size<<shape>>.
    func run(_ picture: UIImage) throws -> [(label: String, probability: Float)] {
        let result = try classifier.classify(image: MPImage(uiImage: picture)).classificationResult
        let found = result.classifications[0].categories.map { (label: $0.categoryName ?? "", probability: $0.score) }
<<answer>>
    }
}
"""
_EMBEDDER = """
// Podfile: pod "MediaPipeTasksVision"
// <<file>> is a resource of the app (Copy Bundle Resources); size and scaling are read from its metadata
import Foundation
import MediaPipeTasksVision
import UIKit

final class PictureModel {
    private let embedder: ImageEmbedder

    init(bundle: Bundle = .main) throws {
        guard let model = bundle.path(forResource: "<<stem>>", ofType: "tflite") else {
            throw CocoaError(.fileNoSuchFile)
        }
        let options = ImageEmbedderOptions()
        options.baseOptions.modelAssetPath = model
        embedder = try ImageEmbedder(options: options)
    }

    /// `picture`: of any size<<shape>>.
    func run(_ picture: UIImage) throws -> [Float] {
        let result = try embedder.embed(image: MPImage(uiImage: picture)).embeddingResult
        return (result.embeddings[0].floatEmbedding ?? []).map { $0.floatValue }
    }
}
<<after>>
"""
_BINARY = """        let yes = <<yes_of>>
        let both = [(label: <<no>>, probability: 1 - yes), (label: <<yes>>, probability: yes)]
        return yes > <<threshold>> ? both.reversed() : both  // what it is, and what it is not"""
_SEVERAL = """        let probable = found.map { (label: $0.label, probability: <<each>>) }
        return probable.filter { $0.probability > <<threshold>> }.sorted { $0.probability > $1.probability }"""
_ANSWERS = {
    "softmax": "        return found.sorted { $0.probability > $1.probability }",
    "logits": """        let largest = found.map { $0.probability }.max() ?? 0
        let powers = found.map { (label: $0.label, probability: exp($0.probability - largest)) }
        let sum = powers.reduce(Float(0)) { $0 + $1.probability }
        return powers.map { (label: $0.label, probability: $0.probability / sum) }.sorted { $0.probability > $1.probability }""",
    "binary": _BINARY.replace("<<yes_of>>", "found[0].probability"),
    "binary-logits": _BINARY.replace("<<yes_of>>", "1 / (1 + exp(-found[0].probability))"),
    "sigmoid": _SEVERAL.replace("<<each>>", "$0.probability"),
    "sigmoid-logits": _SEVERAL.replace("<<each>>", "1 / (1 + exp(-$0.probability))"),
    "embedding": "        return scores",
}
_COSINE = """
/// How alike two pictures are, from -1 to 1.
func cosine(_ a: [Float], _ b: [Float]) -> Float {
    func dot(_ x: [Float], _ y: [Float]) -> Float { zip(x, y).reduce(Float(0)) { $0 + $1.0 * $1.1 } }
    return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
}"""


def _write(given: Given, mediapipe: bool) -> str:
    head, values = given.head, given.common("\\u{{{:x}}}")
    luma = "[(r * 299 + g * 587 + b * 114) / 1000]"
    has_list = not (head.is_embedding or head.is_binary)
    yes = f"[(label: {values['yes']}, probability: scores[0])]"
    found = yes if head.is_binary else "zip(labels, scores).map { (label: $0, probability: $1) }"
    values |= {
        "and_labels": " and labels.txt are resources" if has_list else " is a resource",
        "declare_labels": "    private let labels: [String]\n" if has_list else "",
        "guard_labels": ',\n            let names = bundle.path(forResource: "labels", ofType: "txt")'
        if has_list
        else "",
        "read_labels": '        labels = try String(contentsOfFile: names, encoding: .utf8).components(separatedBy: "\\n")\n'
        if has_list
        else "",
        "found": "" if head.is_embedding else f"        let found = {found}\n",
        "result": "[Float]" if head.is_embedding else "[(label: String, probability: Float)]",
        "pixel": "UInt8" if given.takes_bytes else "Float32",
        "pixels": luma if given.is_grey else "[r, g, b]",
        "raw": "UInt8" if given.gives_bytes else "Float32",
        "score": f"(Float($0) - {values['zero_point']}) * {values['scale']}" if given.gives_bytes else "$0",
        "shape": "" if given.manifest.input.fit == "stretch" else f", upright; {given.fit}",
        "after": _COSINE if head.is_embedding else "",
    }
    values["answer"] = "        " + filled(_ANSWERS[given.answer], values).rstrip()
    if not mediapipe:
        return filled(_LITERT, values)
    return filled(_EMBEDDER if head.is_embedding else _MEDIAPIPE, values)


CODE = Code(suffixes=(".tflite",), one_image=True, write=_write)
