package com.example.picturemodel

import org.junit.Assert.assertTrue
import org.junit.Test

/** On any JVM, without a device: ./gradlew test */
class ParityTest {
    private fun read(name: String) = requireNotNull(javaClass.getResourceAsStream("/$name")).use { it.readBytes() }

    @Test
    fun picturesBecomeTheSamePixels() {
        val largest = Parity.pictures(read("pictures.bin"), CONTRACT)
        assertTrue("pixels differ by $largest", largest <= 1)
    }

    @Test
    fun scoresMeanTheSame() {
        val answers = Parity.floats(read("golden-answers.bin"))
        val largest = Parity.answers(Parity.floats(read("golden-scores.bin")), answers, PictureModel(CONTRACT, labels(), None))
        assertTrue("probabilities differ by $largest", largest <= 1e-5f)
    }

    private fun labels() = List(CONTRACT.count + 1) { "$it" }

    private object None : Engine {
        override fun write(pixels: ByteArray) = Unit
        override fun write(pixels: FloatArray) = Unit
        override fun run() = Unit
        override fun bytes() = ByteArray(0)
        override fun floats() = FloatArray(0)
        override fun close() = Unit
    }
}
