import AVFoundation
import PhotosUI
import PictureModel
import SwiftUI

@main
struct CameraApp: App {
    @StateObject private var camera = Camera()
    @State private var picked: PhotosPickerItem?

    var body: some Scene {
        WindowGroup {
            ZStack(alignment: .bottom) {
                CameraPreview(session: camera.session).ignoresSafeArea()
                VStack {
                    Text(camera.words).font(.title3).frame(maxWidth: .infinity, alignment: .leading)
                    PhotosPicker("Picture", selection: $picked, matching: .images)
                }
                .padding()
                .background(.thinMaterial)
            }
            .task { await camera.start() }
            .onChange(of: picked) { item in
                Task { if let file = try? await item?.loadTransferable(type: Data.self) { camera.show(file) } }
            }
        }
    }
}

/// What the camera sees, frame by frame; the model belongs to one queue.
final class Camera: NSObject, ObservableObject, AVCaptureVideoDataOutputSampleBufferDelegate {
    @MainActor @Published var words = ""
    let session = AVCaptureSession()
    private let queue = DispatchQueue(label: "picture-model")
    private lazy var model = Result { try openModel() }
    private var isWatching = true

    func start() async {
        guard await AVCaptureDevice.requestAccess(for: .video),
            let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back),
            let input = try? AVCaptureDeviceInput(device: device)
        else { return say("Without the camera: pick a picture.") }
        let output = AVCaptureVideoDataOutput()
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.alwaysDiscardsLateVideoFrames = true
        output.setSampleBufferDelegate(self, queue: queue)
        session.beginConfiguration()
        session.sessionPreset = .vga640x480
        session.addInput(input)
        session.addOutput(output)
        session.commitConfiguration()
        queue.async { self.session.startRunning() }
    }

    func captureOutput(_: AVCaptureOutput, didOutput buffer: CMSampleBuffer, from _: AVCaptureConnection) {
        guard isWatching, let pixels = CMSampleBufferGetImageBuffer(buffer) else { return }
        CVPixelBufferLockBaseAddress(pixels, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(pixels, .readOnly) }
        guard let base = CVPixelBufferGetBaseAddress(pixels) else { return }
        let picture = Picture(
            UnsafePointer(base.assumingMemoryBound(to: UInt8.self)), width: CVPixelBufferGetWidth(pixels),
            height: CVPixelBufferGetHeight(pixels), orientation: 6, rowBytes: CVPixelBufferGetBytesPerRow(pixels),
            isBGRA: true)  // the sensor lies on its side while the phone stands
        show { try $0.run(picture) }
    }

    func show(_ file: Data) {
        queue.async {
            self.isWatching = false
            self.show { model in try decode(file) { try model.run($0) } }
        }
    }

    private func show(_ run: (PictureModel) throws -> [Label]) {
        do {
            let found = try run(try model.get()).prefix(3)
            say(found.map { String(format: "%@ %.2f", $0.name, $0.probability) }.joined(separator: "\n"))
        } catch {
            say(error.localizedDescription)
        }
    }

    private func say(_ text: String) {
        Task { @MainActor in self.words = text }
    }
}

struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession

    final class Layered: UIView {
        override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }
    }

    func makeUIView(context: Context) -> Layered {
        let view = Layered()
        let layer = view.layer as? AVCaptureVideoPreviewLayer
        layer?.session = session
        layer?.videoGravity = .resizeAspectFill
        return view
    }

    func updateUIView(_ view: Layered, context: Context) {}
}
