"""MediaPipe Tasks in Swift, for iOS."""

# ruff: noqa: E501  (lines of source files are as long as their platform's are)
from __future__ import annotations

from edgewright.apps.facts import Given, filled

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
    "embedding": "",
}
_COSINE = """
/// How alike two pictures are, from -1 to 1.
func cosine(_ a: [Float], _ b: [Float]) -> Float {
    func dot(_ x: [Float], _ y: [Float]) -> Float { zip(x, y).reduce(Float(0)) { $0 + $1.0 * $1.1 } }
    return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
}"""


def write(given: Given) -> str:
    """The source file."""
    head, values = given.head, given.common("\\u{{{:x}}}")
    values |= {
        "shape": "" if given.manifest.input.fit == "stretch" else f", upright; {given.fit}",
        "after": _COSINE if head.is_embedding else "",
    }
    values["answer"] = "        " + filled(_ANSWERS[given.answer], values).rstrip()
    return filled(_EMBEDDER if head.is_embedding else _MEDIAPIPE, values)
