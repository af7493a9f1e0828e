// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "PictureModel",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "PictureModel", targets: ["PictureModel"])],
    targets: [
        .target(name: "PictureModel"),
        .testTarget(name: "PictureModelTests", dependencies: ["PictureModel"], resources: [.copy("parity")]),
    ]
)
