package com.example.picturemodel

import androidx.test.platform.app.InstrumentationRegistry
import org.junit.Assert.assertTrue
import org.junit.Test

/** On a device or an emulator, by the file itself: ./gradlew connectedAndroidTest */
class GoldenTest {
    private val here = InstrumentationRegistry.getInstrumentation()

    private fun read(name: String) = here.context.assets.open(name).use { it.readBytes() }

    private fun goldensAreRight(gpu: Boolean) {
        val scores = Parity.floats(read("golden-scores.bin"))
        val largest = openModel(here.targetContext, gpu).use { Parity.goldens(read("golden-images.bin"), scores, it) }
        assertTrue("scores differ by $largest, or decide otherwise", largest <= CONTRACT.tolerance)
    }

    @Test
    fun goldensAreRightOnTheCpu() = goldensAreRight(gpu = false)

<<gpu_test>>    @Test
    fun picturesBecomeTheSamePixels() {
        val largest = Parity.pictures(read("pictures.bin"), CONTRACT)
        assertTrue("pixels differ by $largest", largest <= 1)
    }
}
