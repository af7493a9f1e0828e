package com.example.picturemodel

import android.Manifest
import android.os.Bundle
import android.view.Gravity
import android.view.View
import android.widget.Button
import android.widget.FrameLayout
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import androidx.core.content.ContextCompat
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors

/** What the camera sees, in words over its picture; or what a picture of the gallery shows. */
class CameraActivity : ComponentActivity() {
    private val worker: ExecutorService = Executors.newSingleThreadExecutor()  // the model is its alone
    private lateinit var preview: PreviewView
    private lateinit var words: TextView
    private var model: PictureModel? = null
    private var frame = ByteArray(0)

    @Volatile
    private var watching = true

    private val asked = registerForActivityResult(ActivityResultContracts.RequestPermission()) { granted ->
        if (granted) watch() else words.text = getString(R.string.no_camera)
    }
    private val picked = registerForActivityResult(ActivityResultContracts.PickVisualMedia()) { uri ->
        watching = uri == null
        if (uri != null) worker.execute {
            show {
                decode(requireNotNull(contentResolver.openInputStream(uri)).use { it.readBytes() })
            }
        }
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        preview = PreviewView(this)
        words = TextView(this).apply {
            textSize = 20f
            setPadding(32, 32, 32, 32)
            setBackgroundColor(0xccffffff.toInt())
            setTextColor(0xff000000.toInt())
            accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE
        }
        val pick = Button(this).apply {
            text = getString(R.string.pick)
            setOnClickListener {
                picked.launch(PickVisualMediaRequest(ActivityResultContracts.PickVisualMedia.ImageOnly))
            }
        }
        val wrap = FrameLayout.LayoutParams.WRAP_CONTENT
        setContentView(FrameLayout(this).apply {
            fitsSystemWindows = true
            addView(preview)
            addView(words, FrameLayout.LayoutParams(FrameLayout.LayoutParams.MATCH_PARENT, wrap, Gravity.BOTTOM))
            addView(pick, FrameLayout.LayoutParams(wrap, wrap, Gravity.TOP or Gravity.END))
        })
        worker.execute { model = openModel(this) }
        asked.launch(Manifest.permission.CAMERA)
    }

    private fun watch() {
        val provider = ProcessCameraProvider.getInstance(this)
        provider.addListener({
            val shown = Preview.Builder().build().also { it.setSurfaceProvider(preview.surfaceProvider) }
            val analysis = ImageAnalysis.Builder()
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .build()
            analysis.setAnalyzer(worker) { image -> image.use { if (watching) show { picture(it) } } }
            provider.get().unbindAll()
            provider.get().bindToLifecycle(this, CameraSelector.DEFAULT_BACK_CAMERA, shown, analysis)
        }, ContextCompat.getMainExecutor(this))
    }

    private fun picture(image: ImageProxy): Picture {
        val plane = image.planes[0]
        val size = plane.rowStride * image.height
        if (frame.size != size) frame = ByteArray(size)
        plane.buffer.rewind()
        plane.buffer.get(frame, 0, minOf(size, plane.buffer.remaining()))
        val orientation = when (image.imageInfo.rotationDegrees) {
            90 -> 6
            180 -> 3
            270 -> 8
            else -> 1
        }
        return Picture.of(frame, image.width, image.height, orientation, plane.rowStride)
    }

    private fun show(picture: () -> Picture) {
        val start = System.nanoTime()
        val text = try {
            val found = requireNotNull(model).run(picture()).take(3)
            found.joinToString("\n") { "%s %.2f".format(it.name, it.probability) }
        } catch (failure: Exception) {
            failure.message ?: failure.toString()
        }
        val spent = (System.nanoTime() - start) / 1e6
        runOnUiThread { words.text = "%s\n%.1f ms".format(text, spent) }
    }

    override fun onDestroy() {
        worker.execute { model?.close() }
        worker.shutdown()
        super.onDestroy()
    }
}
