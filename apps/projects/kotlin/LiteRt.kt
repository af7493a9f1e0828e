package com.example.picturemodel

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import androidx.exifinterface.media.ExifInterface
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import java.io.ByteArrayInputStream
import java.nio.ByteBuffer

/** The model of the assets. [gpu] only where the bundle knows nothing against it: run GoldenTest on the device then. */
fun openModel(context: Context, gpu: Boolean = false): PictureModel {
    val labels = context.assets.open("labels.txt").bufferedReader().use { it.readLines() }
    return PictureModel(CONTRACT, labels, LiteRtEngine(context, gpu))
}

private class LiteRtEngine(context: Context, gpu: Boolean) : Engine {
    private val model: CompiledModel

    init {
        require(!gpu || CONTRACT.forGpu) { "expected the CPU, got the GPU, which is known to compute this file wrongly" }
        val where = if (gpu) Accelerator.GPU else Accelerator.CPU
        model = CompiledModel.create(context.assets, CONTRACT.file, CompiledModel.Options(where))
    }

    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    override fun write(pixels: ByteArray) = inputs[0].writeInt8(pixels)

    override fun write(pixels: FloatArray) = inputs[0].writeFloat(pixels)

    override fun run() = model.run(inputs, outputs)

    override fun bytes(): ByteArray = outputs[0].readInt8()

    override fun floats(): FloatArray = outputs[0].readFloat()

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }
}

/** A picture out of the bytes of its file. */
fun decode(file: ByteArray): Picture {
    val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    BitmapFactory.decodeByteArray(file, 0, file.size, options)
    require(options.outWidth > 0 && options.outHeight > 0) { "expected a picture, got a file that is none" }
    options.inJustDecodeBounds = false
    options.inPreferredConfig = Bitmap.Config.ARGB_8888
    options.inPremultiplied = false
    options.inScaled = false
    if (options.outMimeType == "image/jpeg") {
        options.inSampleSize = scaleWhileDecoding(options.outWidth, options.outHeight, CONTRACT)
    }
    val bitmap = requireNotNull(BitmapFactory.decodeByteArray(file, 0, file.size, options)) {
        "expected a whole picture, got a damaged one"
    }
    val rgba = ByteArray(bitmap.rowBytes * bitmap.height)  // as they are stored: getPixels would convert colours
    bitmap.copyPixelsToBuffer(ByteBuffer.wrap(rgba))
    val exif = ExifInterface(ByteArrayInputStream(file))
    val orientation = exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
    val picture = Picture.of(rgba, bitmap.width, bitmap.height, orientation, bitmap.rowBytes)
    bitmap.recycle()
    return picture
}
