import Foundation

/// What a model file takes and gives; `fit`, `filter` and `head` are words of the bundle's manifest.
public struct Contract {
    public let file: String
    public let width, height, channels: Int
    public let fit, filter: String
    public let takesBytes, givesBytes: Bool
    public let count: Int
    public let scale: Float
    public let zeroPoint: Int
    public let head: String
    public let threshold, tolerance: Float

    public var isSigmoid: Bool { head.hasPrefix("sigmoid") }
    public var isBinary: Bool { isSigmoid && count == 1 }
}

/// A decoded picture that somebody else owns: red, green, blue, alpha (or blue, green, red, alpha), a byte each, colours
/// not multiplied by alpha. Pixel (x, y) of the upright picture is at `origin + x * stepX + y * stepY`: nothing is
/// copied to turn it.
public struct Picture {
    let bytes: UnsafePointer<UInt8>
    let width, height, origin, stepX, stepY: Int
    let red, blue: Int

    /// `width` and `height` as it is stored, `orientation` as EXIF has it (1 is upright).
    public init(
        _ bytes: UnsafePointer<UInt8>, width: Int, height: Int, orientation: Int = 1, rowBytes: Int? = nil,
        isBGRA: Bool = false
    ) {
        let row = rowBytes ?? 4 * width
        let isMirrored = [2, 3, 7, 8].contains(orientation)
        let isFlipped = [3, 4, 6, 7].contains(orientation)
        let isTurned = (5...8).contains(orientation)
        let across = isMirrored ? -4 : 4
        let down = isFlipped ? -row : row
        self.bytes = bytes
        self.width = isTurned ? height : width
        self.height = isTurned ? width : height
        origin = (isMirrored ? 4 * (width - 1) : 0) + (isFlipped ? row * (height - 1) : 0)
        stepX = isTurned ? down : across
        stepY = isTurned ? across : down
        red = isBGRA ? 2 : 0
        blue = isBGRA ? 0 : 2
    }
}

/// What each of `size` values is made of, of `from` values of which those between `low` and `high` are taken.
struct Weights {
    static let bits = 22
    static let one = Int32(1 << bits)

    let from: Int
    let low, high: Float
    let size: Int
    var first, counts: [Int]
    var stride = 1
    var values: [Int32]
    var isNeeded: Bool { from != size || low != 0 || high != Float(size) }

    init(from: Int, low: Float, high: Float, size: Int, filter: String) {
        self.from = from
        self.low = low
        self.high = high
        self.size = size
        first = [Int](repeating: 0, count: size)
        counts = [Int](repeating: 1, count: size)
        let scale = Double(high - low) / Double(size)
        if filter == "nearest" {
            values = [Int32](repeating: Weights.one, count: size)
            var place = Double(low) + scale * 0.5
            for i in 0..<size {
                first[i] = min(Int(place), from - 1)
                place += scale
            }
            return
        }
        let wide = max(scale, 1)
        let support = Weights.support(of: filter) * wide
        stride = Int(support.rounded(.up)) * 2 + 1
        values = [Int32](repeating: 0, count: size * stride)
        var weights = [Double](repeating: 0, count: stride)
        for i in 0..<size {
            let center = Double(low) + (Double(i) + 0.5) * scale
            let start = max(Int(center - support + 0.5), 0)
            let many = min(Int(center + support + 0.5), from) - start
            var sum = 0.0
            for k in 0..<many {
                weights[k] = Weights.weight(of: filter, at: (Double(k + start) - center + 0.5) * (1 / wide))
                sum += weights[k]
            }
            for k in 0..<many {
                let share = (sum != 0 ? weights[k] / sum : weights[k]) * Double(Weights.one)
                values[i * stride + k] = Int32(share < 0 ? share - 0.5 : share + 0.5)
            }
            first[i] = start
            counts[i] = many
        }
    }

    static func support(of filter: String) -> Double {
        switch filter {
        case "box": return 0.5
        case "bilinear": return 1
        case "bicubic": return 2
        default: return 3
        }
    }

    static func weight(of filter: String, at place: Double) -> Double {
        let x = abs(place)
        switch filter {
        case "box": return place > -0.5 && place <= 0.5 ? 1 : 0
        case "bilinear": return x < 1 ? 1 - x : 0
        case "bicubic":
            if x < 1 { return (1.5 * x - 2.5) * x * x + 1 }
            return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0
        default: return place >= -3 && place < 3 ? sinc(place) * sinc(place / 3) : 0
        }
    }

    private static func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }
}

/// Brings pictures to a model's size as Edgewright and Pillow do: laid over white where transparent, to RGB or grey,
/// resized by an antialiased filter in two passes of 22-bit fixed point. Keeps its buffers: one thread at a time.
public final class Preprocess {
    private let contract: Contract
    private let channels: Int
    private var across, down: Weights?
    private var line: [Int32] = []
    private var rows: [UInt8] = []
    private var sums: [Int32] = []
    /// The pixels of the model's input, row by row, of the last `run`.
    public private(set) var output: [UInt8]

    public init(_ contract: Contract) {
        self.contract = contract
        channels = contract.channels
        output = [UInt8](repeating: 0, count: contract.height * contract.width * contract.channels)
    }

    public func run(_ picture: Picture) {
        let (wide, high) = (Double(picture.width), Double(picture.height))
        var (left, top, right, bottom) = (0.0, 0.0, wide, high)
        var (width, height) = (contract.width, contract.height)
        let isItsSize = picture.width == width && picture.height == height
        if contract.fit == "crop" && !isItsSize {
            let ratio = Double(width) / Double(height)
            let isWide = wide / high >= ratio
            let (innerWidth, innerHeight) = isWide ? (ratio * high, high) : (wide, wide / ratio)
            left = (wide - innerWidth) * 0.5
            top = (high - innerHeight) * 0.5
            right = left + innerWidth
            bottom = top + innerHeight
        } else if contract.fit == "letterbox" {
            let scale = min(Double(width) / wide, Double(height) / high)
            width = max(1, Int((wide * scale).rounded(.toNearestOrEven)))
            height = max(1, Int((high * scale).rounded(.toNearestOrEven)))
            for i in output.indices { output[i] = 0 }
        }
        let atX = Int((Double(contract.width - width) / 2).rounded(.toNearestOrEven))
        let atY = Int((Double(contract.height - height) / 2).rounded(.toNearestOrEven))
        let across = weights(self.across, picture.width, left, right, width)
        let down = weights(self.down, picture.height, top, bottom, height)
        self.across = across
        self.down = down
        let first = down.first[0]
        let last = down.first[height - 1] + down.counts[height - 1]
        let bytes = width * channels
        let start = across.first[0]
        let end = across.first[width - 1] + across.counts[width - 1]
        if line.count < picture.width * channels { line = [Int32](repeating: 0, count: picture.width * channels) }
        if picture.height - height > max(0, 2 * (picture.width - width)) {  // tall: as Pillow 13 does, rows come first
            sumRows(picture, down, start, end)
            for y in 0..<height {
                for i in start * channels..<end * channels {
                    line[i] = Int32(clipped(sums[y * picture.width * channels + i]))
                }
                shrinkLine(across, into: &output, ((y + atY) * contract.width + atX) * channels)
            }
            return
        }
        if rows.count < (last - first) * bytes { rows = [UInt8](repeating: 0, count: (last - first) * bytes) }
        for y in first..<last {
            read(picture, y, start, end)
            shrinkLine(across, into: &rows, (y - first) * bytes)
        }
        for y in 0..<height { shrinkRows(down, y, first, bytes, ((y + atY) * contract.width + atX) * channels) }
    }

    /// The sums of all rows of the size, each as wide as the picture.
    private func sumRows(_ picture: Picture, _ down: Weights, _ start: Int, _ end: Int) {
        let bytes = picture.width * channels
        if sums.count < down.size * bytes { sums = [Int32](repeating: 0, count: down.size * bytes) }
        for i in sums.indices { sums[i] = Weights.one / 2 }
        var lowest = 0
        for y in down.first[0]..<down.first[down.size - 1] + down.counts[down.size - 1] {
            read(picture, y, start, end)
            while down.first[lowest] + down.counts[lowest] <= y { lowest += 1 }
            var row = lowest
            while row < down.size && down.first[row] <= y {
                let value = down.values[row * down.stride + y - down.first[row]]
                for i in start * channels..<end * channels { sums[row * bytes + i] += line[i] * value }
                row += 1
            }
        }
    }

    private func weights(_ kept: Weights?, _ from: Int, _ low: Double, _ high: Double, _ size: Int) -> Weights {
        if let kept, kept.from == from, kept.low == Float(low), kept.high == Float(high), kept.size == size { return kept }
        return Weights(from: from, low: Float(low), high: Float(high), size: size, filter: contract.filter)
    }

    private func read(_ picture: Picture, _ y: Int, _ start: Int, _ end: Int) {
        var place = picture.origin + y * picture.stepY + start * picture.stepX
        for x in start..<end {
            let alpha = Int32(picture.bytes[place + 3])
            let r = overWhite(picture.bytes[place + picture.red], alpha)
            let g = overWhite(picture.bytes[place + 1], alpha)
            let b = overWhite(picture.bytes[place + picture.blue], alpha)
            if channels == 1 {
                line[x] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16
            } else {
                line[3 * x] = r
                line[3 * x + 1] = g
                line[3 * x + 2] = b
            }
            place += picture.stepX
        }
    }

    private func overWhite(_ value: UInt8, _ alpha: Int32) -> Int32 {
        if alpha == 255 { return Int32(value) }
        let sum = (Int32(value) * alpha + 255 * (255 - alpha) + 0x80) << 7
        return (((sum >> 8) + sum) >> 8) >> 7
    }

    private func shrinkLine(_ weights: Weights, into found: inout [UInt8], _ to: Int) {
        if !weights.isNeeded {
            for i in 0..<weights.size * channels { found[to + i] = UInt8(line[i]) }
            return
        }
        for x in 0..<weights.size {
            for c in 0..<channels {
                var sum = Weights.one / 2
                for k in 0..<weights.counts[x] {
                    sum += line[(weights.first[x] + k) * channels + c] * weights.values[x * weights.stride + k]
                }
                found[to + x * channels + c] = clipped(sum)
            }
        }
    }

    private func shrinkRows(_ weights: Weights, _ y: Int, _ first: Int, _ bytes: Int, _ to: Int) {
        if !weights.isNeeded {
            for i in 0..<bytes { output[to + i] = rows[(y - first) * bytes + i] }
            return
        }
        for i in 0..<bytes {
            var sum = Weights.one / 2
            for k in 0..<weights.counts[y] {
                sum += Int32(rows[(weights.first[y] - first + k) * bytes + i]) * weights.values[y * weights.stride + k]
            }
            output[to + i] = clipped(sum)
        }
    }

    private func clipped(_ sum: Int32) -> UInt8 { UInt8(min(max(sum >> Int32(Weights.bits), 0), 255)) }
}

/// What runs the file: the pixels of its input as bytes or floats, to the bytes of its output.
public protocol Engine {
    func run(_ input: Data) throws -> Data
}

public struct Label {
    public let name: String
    public let probability: Float
}

/// From a picture to labels. Keeps its buffers: one thread at a time.
public final class PictureModel {
    public let contract: Contract
    private let labels: [String]
    private let engine: Engine
    private let preprocess: Preprocess

    public init(contract: Contract, labels: [String], engine: Engine) {
        self.contract = contract
        self.labels = labels
        self.engine = engine
        preprocess = Preprocess(contract)
    }

    /// What it shows, the most probable first: all classes, or of several labels those above the threshold.
    public func run(_ picture: Picture) throws -> [Label] {
        preprocess.run(picture)
        return labelled(try scores(preprocess.output))
    }

    /// The file's scores of the pixels of its input; of an embedding the vector.
    public func scores(_ pixels: [UInt8]) throws -> [Float] {
        let input = contract.takesBytes ? Data(pixels) : pixels.map { Float($0) }.withUnsafeBytes { Data($0) }
        let raw = try engine.run(input)
        if contract.givesBytes { return raw.map { contract.scale * Float(Int($0) - contract.zeroPoint) } }
        return raw.withUnsafeBytes { bytes in
            (0..<contract.count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    /// A probability a label; of one score those of both. An embedding has none: its scores come back.
    public func probabilities(_ scores: [Float]) -> [Float] {
        var found = scores
        if contract.head == "logits" {
            let largest = scores.max() ?? 0
            found = scores.map { exp($0 - largest) }
            let sum = found.reduce(0, +)
            found = found.map { $0 / sum }
        } else if contract.head == "sigmoid-logits" {
            found = scores.map { 0.5 * (1 + tanh(0.5 * $0)) }
        }
        return contract.isBinary ? [1 - found[0], found[0]] : found
    }

    public func labelled(_ scores: [Float]) -> [Label] {
        if contract.head == "embedding" { return [] }
        let found = probabilities(scores)
        var order = found.indices.sorted { (-found[$0], $0) < (-found[$1], $1) }
        if contract.isBinary {
            order = found[1] > contract.threshold ? [1, 0] : [0, 1]
        } else if contract.isSigmoid {
            order = order.filter { found[$0] > contract.threshold }
        }
        return order.map { Label(name: labels[$0], probability: found[$0]) }
    }
}

/// How alike the pictures of two embeddings are, from -1 to 1.
public func cosine(_ a: [Float], _ b: [Float]) -> Float {
    func dot(_ x: [Float], _ y: [Float]) -> Float { zip(x, y).reduce(Float(0)) { $0 + $1.0 * $1.1 } }
    return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
}
