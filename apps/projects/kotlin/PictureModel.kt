package com.example.picturemodel

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.exp
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round
import kotlin.math.sin
import kotlin.math.sqrt
import kotlin.math.tanh

/** What a model file takes and gives. [fit], [filter] and [head] are words of the bundle's manifest. */
class Contract(
    val file: String,
    val width: Int,
    val height: Int,
    val channels: Int,
    val fit: String,
    val filter: String,
    val takesBytes: Boolean,
    val givesBytes: Boolean,
    val count: Int,
    val scale: Float,
    val zeroPoint: Int,
    val head: String,
    val threshold: Float,
    val tolerance: Float,
    val forGpu: Boolean,
) {
    val isSigmoid get() = head.startsWith("sigmoid")
    val isBinary get() = isSigmoid && count == 1
}

/**
 * A decoded picture: red, green, blue, alpha, a byte each, colours not multiplied by alpha. Pixel (x, y) of the upright
 * picture is at [origin] + x * [stepX] + y * [stepY]: nothing is copied to turn it.
 */
class Picture private constructor(
    val rgba: ByteArray, val width: Int, val height: Int, val origin: Int, val stepX: Int, val stepY: Int,
) {
    companion object {
        /** [width] and [height] as it is stored, [orientation] as EXIF has it (1 is upright). */
        fun of(rgba: ByteArray, width: Int, height: Int, orientation: Int = 1, rowBytes: Int = 4 * width): Picture {
            val mirrored = orientation in intArrayOf(2, 3, 7, 8)
            val flipped = orientation in intArrayOf(3, 4, 6, 7)
            val origin = (if (mirrored) 4 * (width - 1) else 0) + (if (flipped) rowBytes * (height - 1) else 0)
            val across = if (mirrored) -4 else 4
            val down = if (flipped) -rowBytes else rowBytes
            return if (orientation in 5..8) Picture(rgba, height, width, origin, down, across)
            else Picture(rgba, width, height, origin, across, down)
        }
    }
}

/** By how much to scale a JPEG of this size while it is decoded: as far as three times the model's size is left. */
fun scaleWhileDecoding(width: Int, height: Int, contract: Contract): Int {
    if (contract.filter !in listOf("bilinear", "bicubic", "lanczos")) return 1
    val side = 3 * max(contract.height, contract.width)
    return listOf(4, 2).firstOrNull { min(width, height) >= it * side && width % it == 0 && height % it == 0 } ?: 1
}

/** What each of [size] values is made of, of [from] values of which those between [low] and [high] are taken. */
private class Weights(val from: Int, val low: Float, val high: Float, val size: Int, filter: String) {
    val first = IntArray(size)
    val counts = IntArray(size)
    val needed = from != size || low != 0f || high != size.toFloat()
    val stride: Int
    val values: IntArray

    init {
        val scale = (high - low).toDouble() / size
        if (filter == "nearest") {
            stride = 1
            values = IntArray(size) { ONE }
            var place = low + scale * 0.5
            for (i in 0 until size) {
                first[i] = min(place.toInt(), from - 1)
                counts[i] = 1
                place += scale
            }
        } else {
            val wide = max(scale, 1.0)
            val support = supportOf(filter) * wide
            stride = ceil(support).toInt() * 2 + 1
            values = IntArray(size * stride)
            val weights = DoubleArray(stride)
            for (i in 0 until size) {
                val center = low + (i + 0.5) * scale
                val start = max((center - support + 0.5).toInt(), 0)
                val many = min((center + support + 0.5).toInt(), from) - start
                var sum = 0.0
                for (k in 0 until many) {
                    weights[k] = weightOf(filter, (k + start - center + 0.5) * (1 / wide))
                    sum += weights[k]
                }
                for (k in 0 until many) {
                    val share = (if (sum != 0.0) weights[k] / sum else weights[k]) * ONE
                    values[i * stride + k] = (if (share < 0) share - 0.5 else share + 0.5).toInt()
                }
                first[i] = start
                counts[i] = many
            }
        }
    }

    fun isFor(from: Int, low: Float, high: Float, size: Int) =
        this.from == from && this.low == low && this.high == high && this.size == size

    companion object {
        const val BITS = 22
        const val ONE = 1 shl BITS

        fun supportOf(filter: String) = when (filter) {
            "box" -> 0.5
            "bilinear" -> 1.0
            "bicubic" -> 2.0
            else -> 3.0
        }

        fun weightOf(filter: String, at: Double): Double {
            val x = abs(at)
            return when (filter) {
                "box" -> if (at > -0.5 && at <= 0.5) 1.0 else 0.0
                "bilinear" -> if (x < 1) 1 - x else 0.0
                "bicubic" -> when {
                    x < 1 -> (1.5 * x - 2.5) * x * x + 1
                    x < 2 -> (((x - 5) * x + 8) * x - 4) * -0.5
                    else -> 0.0
                }
                else -> if (at >= -3 && at < 3) sinc(at) * sinc(at / 3) else 0.0
            }
        }

        private fun sinc(x: Double) = if (x == 0.0) 1.0 else sin(x * PI) / (x * PI)
    }
}

/**
 * Brings pictures to a model's size as Edgewright and Pillow do: laid over white where transparent, to RGB or grey,
 * resized by an antialiased filter in two passes of 22-bit fixed point. Keeps its buffers: one thread at a time.
 */
class Preprocess(private val contract: Contract) {
    private val channels = contract.channels
    private val output = ByteArray(contract.height * contract.width * channels)
    private var across: Weights? = null
    private var down: Weights? = null
    private var line = IntArray(0)
    private var rows = ByteArray(0)
    private var sums = IntArray(0)

    /** The pixels of the model's input, row by row; they are overwritten by the next call. */
    fun run(picture: Picture): ByteArray {
        val (wide, high) = picture.width to picture.height
        var (left, top, right, bottom) = doubleArrayOf(0.0, 0.0, wide.toDouble(), high.toDouble())
        var (width, height) = contract.width to contract.height
        if (contract.fit == "crop") {
            val ratio = width.toDouble() / height
            val isWide = wide.toDouble() / high >= ratio
            val innerWidth = if (isWide) ratio * high else wide.toDouble()
            val innerHeight = if (isWide) high.toDouble() else wide / ratio
            left = (wide - innerWidth) * 0.5
            top = (high - innerHeight) * 0.5
            right = left + innerWidth
            bottom = top + innerHeight
        } else if (contract.fit == "letterbox") {
            val scale = min(width.toDouble() / wide, height.toDouble() / high)
            width = max(1, round(wide * scale).toInt())
            height = max(1, round(high * scale).toInt())
            output.fill(0)
        }
        if (wide == contract.width && high == contract.height) {
            left = 0.0
            top = 0.0
            right = wide.toDouble()
            bottom = high.toDouble()
        }
        val across = weights(this.across, wide, left, right, width)
        val down = weights(this.down, high, top, bottom, height)
        this.across = across
        this.down = down
        val atX = round((contract.width - width) / 2.0).toInt()
        val atY = round((contract.height - height) / 2.0).toInt()
        val first = down.first[0]
        val last = down.first[height - 1] + down.counts[height - 1]
        val start = across.first[0]
        val end = across.first[width - 1] + across.counts[width - 1]
        if (line.size < wide * channels) line = IntArray(wide * channels)
        if (high - height > max(0, 2 * (wide - width))) {  // a tall picture: as Pillow 13 does, rows come first
            sumRows(picture, down, start, end)
            for (y in 0 until height) {
                for (i in start * channels until end * channels) line[i] = clipped(sums[y * wide * channels + i])
                shrinkLine(across, output, ((y + atY) * contract.width + atX) * channels)
            }
            return output
        }
        if (rows.size < (last - first) * width * channels) rows = ByteArray((last - first) * width * channels)
        for (y in first until last) {
            read(picture, y, start, end)
            shrinkLine(across, rows, (y - first) * width * channels)
        }
        for (y in 0 until height) shrinkRows(down, y, first, width, ((y + atY) * contract.width + atX) * channels)
        return output
    }

    /** The sums of all rows of the size, each as wide as the picture. */
    private fun sumRows(picture: Picture, down: Weights, start: Int, end: Int) {
        val bytes = picture.width * channels
        if (sums.size < down.size * bytes) sums = IntArray(down.size * bytes)
        sums.fill(1 shl (Weights.BITS - 1))
        var lowest = 0
        for (y in down.first[0] until down.first[down.size - 1] + down.counts[down.size - 1]) {
            read(picture, y, start, end)
            while (down.first[lowest] + down.counts[lowest] <= y) lowest++
            var row = lowest
            while (row < down.size && down.first[row] <= y) {
                val value = down.values[row * down.stride + y - down.first[row]]
                for (i in start * channels until end * channels) sums[row * bytes + i] += line[i] * value
                row++
            }
        }
    }

    private fun weights(kept: Weights?, from: Int, low: Double, high: Double, size: Int): Weights {
        if (kept != null && kept.isFor(from, low.toFloat(), high.toFloat(), size)) return kept
        return Weights(from, low.toFloat(), high.toFloat(), size, contract.filter)
    }

    private fun read(picture: Picture, y: Int, start: Int, end: Int) {
        val rgba = picture.rgba
        var place = picture.origin + y * picture.stepY + start * picture.stepX
        for (x in start until end) {
            val alpha = rgba[place + 3].toInt() and 0xff
            val r = overWhite(rgba[place].toInt() and 0xff, alpha)
            val g = overWhite(rgba[place + 1].toInt() and 0xff, alpha)
            val b = overWhite(rgba[place + 2].toInt() and 0xff, alpha)
            if (channels == 1) {
                line[x] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) shr 16
            } else {
                line[3 * x] = r
                line[3 * x + 1] = g
                line[3 * x + 2] = b
            }
            place += picture.stepX
        }
    }

    private fun overWhite(value: Int, alpha: Int): Int {
        if (alpha == 255) return value
        val sum = (value * alpha + 255 * (255 - alpha) + 0x80) shl 7
        return (((sum shr 8) + sum) shr 8) shr 7
    }

    private fun shrinkLine(weights: Weights, into: ByteArray, to: Int) {
        if (!weights.needed) {
            for (i in 0 until weights.size * channels) into[to + i] = line[i].toByte()
            return
        }
        for (x in 0 until weights.size) {
            val many = weights.counts[x]
            val at = x * weights.stride
            for (c in 0 until channels) {
                var sum = 1 shl (Weights.BITS - 1)
                var place = weights.first[x] * channels + c
                for (k in 0 until many) {
                    sum += line[place] * weights.values[at + k]
                    place += channels
                }
                into[to + x * channels + c] = clipped(sum).toByte()
            }
        }
    }

    private fun shrinkRows(weights: Weights, y: Int, first: Int, width: Int, to: Int) {
        val bytes = width * channels
        if (!weights.needed) {
            rows.copyInto(output, to, (y - first) * bytes, (y - first + 1) * bytes)
            return
        }
        val from = (weights.first[y] - first) * bytes
        val many = weights.counts[y]
        val at = y * weights.stride
        for (i in 0 until bytes) {
            var sum = 1 shl (Weights.BITS - 1)
            var place = from + i
            for (k in 0 until many) {
                sum += (rows[place].toInt() and 0xff) * weights.values[at + k]
                place += bytes
            }
            output[to + i] = clipped(sum).toByte()
        }
    }

    private fun clipped(sum: Int) = (sum shr Weights.BITS).coerceIn(0, 255)
}

/** What runs the file; one thread at a time. */
interface Engine : AutoCloseable {
    fun write(pixels: ByteArray)
    fun write(pixels: FloatArray)
    fun run()
    fun bytes(): ByteArray
    fun floats(): FloatArray
}

class Label(val name: String, val probability: Float)

/** From a picture to labels. Keeps its buffers: one thread at a time. */
class PictureModel(
    val contract: Contract, private val labels: List<String>, private val engine: Engine,
) : AutoCloseable {
    private val preprocess = Preprocess(contract)
    private val floats = FloatArray(if (contract.takesBytes) 0 else contract.height * contract.width * contract.channels)

    /** What it shows, the most probable first: all classes, or of several labels those above the threshold. */
    fun run(picture: Picture): List<Label> = labelled(scores(preprocess.run(picture)))

    /** The file's scores of the pixels of its input; of an embedding the vector. */
    fun scores(pixels: ByteArray): FloatArray {
        if (contract.takesBytes) {
            engine.write(pixels)
        } else {
            for (i in floats.indices) floats[i] = (pixels[i].toInt() and 0xff).toFloat()
            engine.write(floats)
        }
        engine.run()
        if (!contract.givesBytes) return engine.floats()
        val raw = engine.bytes()
        return FloatArray(raw.size) { contract.scale * ((raw[it].toInt() and 0xff) - contract.zeroPoint) }
    }

    /** A probability a label; of one score those of both. An embedding has none: its scores come back. */
    fun probabilities(scores: FloatArray): FloatArray = when (contract.head) {
        "logits" -> {
            val largest = scores.maxOrNull() ?: 0f
            val powers = FloatArray(scores.size) { exp(scores[it] - largest) }
            val sum = powers.sum()
            FloatArray(scores.size) { powers[it] / sum }
        }
        "sigmoid-logits" -> both(FloatArray(scores.size) { 0.5f * (1 + tanh(0.5f * scores[it])) })
        "sigmoid" -> both(scores)
        else -> scores
    }

    private fun both(yes: FloatArray) = if (contract.isBinary) floatArrayOf(1 - yes[0], yes[0]) else yes

    fun labelled(scores: FloatArray): List<Label> {
        if (contract.head == "embedding") return emptyList()
        val found = probabilities(scores)
        var order = found.indices.sortedByDescending { found[it] }
        if (contract.isBinary) {
            order = if (found[1] > contract.threshold) listOf(1, 0) else listOf(0, 1)
        } else if (contract.isSigmoid) {
            order = order.filter { found[it] > contract.threshold }
        }
        return order.map { Label(labels[it], found[it]) }
    }

    override fun close() = engine.close()
}

/** How alike the pictures of two embeddings are, from -1 to 1. */
fun cosine(a: FloatArray, b: FloatArray): Float {
    var (product, first, second) = floatArrayOf(0f, 0f, 0f)
    for (i in a.indices) {
        product += a[i] * b[i]
        first += a[i] * a[i]
        second += b[i] * b[i]
    }
    return product / sqrt(first * second)
}
