import Foundation
import XCTest

@testable import PictureModel

/// What this machine gives against what was recorded where the model was made: swift test
final class ParityTests: XCTestCase {
    private func read(_ name: String) throws -> [UInt8] {
        let url = try XCTUnwrap(Bundle.module.url(forResource: name, withExtension: "bin", subdirectory: "parity"))
        return [UInt8](try Data(contentsOf: url))
    }

    private func floats(_ name: String) throws -> [Float] {
        let raw = try read(name)
        return raw.withUnsafeBytes { bytes in
            (0..<raw.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    func testPicturesBecomeTheSamePixels() throws {
        let raw = try read("pictures")
        let preprocess = Preprocess(contract)
        var place = 0
        while place < raw.count {
            let head = raw.withUnsafeBytes { bytes in
                (0..<3).map { Int(bytes.loadUnaligned(fromByteOffset: place + 4 * $0, as: Int32.self)) }
            }
            place += 12
            raw.withUnsafeBufferPointer { bytes in
                preprocess.run(Picture(bytes.baseAddress! + place, width: head[0], height: head[1], orientation: head[2]))
            }
            place += head[0] * head[1] * 4
            for value in preprocess.output {
                XCTAssertLessThanOrEqual(abs(Int(value) - Int(raw[place])), 1, "\(head)")
                place += 1
            }
        }
    }

    func testScoresMeanTheSame() throws {
        let scores = try floats("golden-scores")
        let answers = try floats("golden-answers")
        let labels = answers.count / (scores.count / contract.count)
        let model = PictureModel(contract: contract, labels: [], engine: Nothing())
        for image in 0..<scores.count / contract.count {
            let got = model.probabilities(Array(scores[image * contract.count..<(image + 1) * contract.count]))
            for i in 0..<labels { XCTAssertEqual(got[i], answers[image * labels + i], accuracy: 1e-5) }
        }
    }

    private struct Nothing: Engine {
        func run(_ input: Data) throws -> Data { Data() }
    }
}
