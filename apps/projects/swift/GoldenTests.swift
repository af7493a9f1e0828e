import PictureModel
import XCTest

@testable import CameraApp

/// On a device or in the simulator, by the file itself.
final class GoldenTests: XCTestCase {
    private func read(_ name: String) throws -> Data {
        let bundle = Bundle(for: GoldenTests.self)
        return try Data(contentsOf: try XCTUnwrap(bundle.url(forResource: name, withExtension: "bin")))
    }

    func testGoldenImagesGetTheirScores() throws {
        let model = try openModel()
        let images = [UInt8](try read("golden-images"))
        let expected = try read("golden-scores").withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
        let size = contract.width * contract.height * contract.channels
        for image in 0..<images.count / size {
            let got = try model.scores(Array(images[image * size..<(image + 1) * size]))
            let right = Array(expected[image * contract.count..<(image + 1) * contract.count])
            for (value, wanted) in zip(got, right) { XCTAssertEqual(value, wanted, accuracy: contract.tolerance) }
            XCTAssertEqual(model.labelled(got).first?.name, model.labelled(right).first?.name)
        }
    }
}
