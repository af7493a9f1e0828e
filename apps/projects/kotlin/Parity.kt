package com.example.picturemodel

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import kotlin.math.max

/** Holds what this machine gives against what was recorded where the model was made. */
object Parity {
    /** The largest difference of a pixel, over pictures as pictures.bin has them. */
    fun pictures(raw: ByteArray, contract: Contract): Int {
        val buffer = ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN)
        val preprocess = Preprocess(contract)
        val expected = ByteArray(contract.height * contract.width * contract.channels)
        var largest = 0
        while (buffer.hasRemaining()) {
            val (width, height, orientation) = IntArray(3) { buffer.int }
            val rgba = ByteArray(width * height * 4).also { buffer.get(it) }
            buffer.get(expected)
            val got = preprocess.run(Picture.of(rgba, width, height, orientation))
            for (i in expected.indices) {
                largest = max(largest, abs((got[i].toInt() and 0xff) - (expected[i].toInt() and 0xff)))
            }
        }
        return largest
    }

    /** The largest difference of what scores mean. */
    fun answers(scores: FloatArray, expected: FloatArray, model: PictureModel): Float {
        val count = model.contract.count
        val images = scores.size / count
        val each = expected.size / images
        var largest = 0f
        for (image in 0 until images) {
            val got = model.probabilities(scores.copyOfRange(image * count, (image + 1) * count))
            for (i in 0 until each) largest = max(largest, abs(got[i] - expected[image * each + i]))
        }
        return largest
    }

    /** The largest difference of a score over the golden images; infinite where another label is decided for. */
    fun goldens(images: ByteArray, expected: FloatArray, model: PictureModel): Float {
        val count = model.contract.count
        val size = images.size / (expected.size / count)
        var largest = 0f
        for (image in 0 until images.size / size) {
            val got = model.scores(images.copyOfRange(image * size, (image + 1) * size))
            val right = expected.copyOfRange(image * count, (image + 1) * count)
            for (i in right.indices) largest = max(largest, abs(got[i] - right[i]))
            if (decided(model, got) != decided(model, right)) return Float.POSITIVE_INFINITY
        }
        return largest
    }

    /** Of classes the best one, of several labels all that are found. */
    private fun decided(model: PictureModel, scores: FloatArray): Any {
        val names = model.labelled(scores).map { it.name }
        val several = model.contract.isSigmoid && !model.contract.isBinary
        return if (several) names.toSet() else names.take(1)
    }

    fun floats(raw: ByteArray): FloatArray {
        val buffer = ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return FloatArray(buffer.remaining()).also { buffer.get(it) }
    }
}
