import CoreGraphics
import Foundation
import ImageIO
import PictureModel
import TensorFlowLite

/// The model file on the CPU.
final class LiteRtEngine: Engine {
    private let interpreter: Interpreter

    init(path: String) throws {
        var options = Interpreter.Options()
        options.threadCount = 2
        interpreter = try Interpreter(modelPath: path, options: options)
        try interpreter.allocateTensors()
    }

    func run(_ input: Data) throws -> Data {
        try interpreter.copy(input, toInputAt: 0)
        try interpreter.invoke()
        return try interpreter.output(at: 0).data
    }
}

/// The model of the app's resources.
func openModel(_ bundle: Bundle = .main) throws -> PictureModel {
    guard let folder = bundle.resourceURL else { throw CocoaError(.fileNoSuchFile) }
    let text = try String(contentsOf: folder.appendingPathComponent("labels.txt"), encoding: .utf8)
    var labels = text.components(separatedBy: "\n")
    labels.removeLast()
    let engine = try LiteRtEngine(path: folder.appendingPathComponent(contract.file).path)
    return PictureModel(contract: contract, labels: labels, engine: engine)
}

/// A picture out of its file: the pixels in its own colours, laid over white, with the orientation that EXIF says.
func decode<Found>(_ file: Data, _ use: (Picture) throws -> Found) throws -> Found {
    guard let source = CGImageSourceCreateWithData(file as CFData, nil),
        let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
    else { throw CocoaError(.fileReadCorruptFile) }
    let own = image.colorSpace.flatMap { $0.model == .rgb ? $0 : nil }
    guard let space = own ?? CGColorSpace(name: CGColorSpace.sRGB),
        let context = CGContext(
            data: nil, width: image.width, height: image.height, bitsPerComponent: 8, bytesPerRow: 4 * image.width,
            space: space, bitmapInfo: CGImageAlphaInfo.premultipliedLast.rawValue),
        let bytes = context.data
    else { throw CocoaError(.fileReadCorruptFile) }
    let whole = CGRect(x: 0, y: 0, width: image.width, height: image.height)
    context.setFillColor(red: 1, green: 1, blue: 1, alpha: 1)
    context.fill(whole)
    context.draw(image, in: whole)
    let facts = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
    let orientation = facts?[kCGImagePropertyOrientation] as? Int ?? 1
    let pixels = UnsafePointer(bytes.assumingMemoryBound(to: UInt8.self))
    return try withExtendedLifetime(context) {
        try use(Picture(pixels, width: image.width, height: image.height, orientation: orientation))
    }
}
