#include "picture_model.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "litert.h"

namespace picture_model {
namespace {

void check(LiteRtStatus status, const std::string& what) {
  if (status != 0) throw std::runtime_error("LiteRT cannot " + what + ": status " + std::to_string(status));
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace

struct PictureModel::Engine {
  LiteRtEnvironment environment = nullptr;
  LiteRtModel model = nullptr;
  LiteRtOptions options = nullptr;
  LiteRtCompiledModel compiled = nullptr;
  LiteRtTensorBuffer input = nullptr, output = nullptr;

  ~Engine() {
    if (output) LiteRtDestroyTensorBuffer(output);
    if (input) LiteRtDestroyTensorBuffer(input);
    if (compiled) LiteRtDestroyCompiledModel(compiled);
    if (options) LiteRtDestroyOptions(options);
    if (model) LiteRtDestroyModel(model);
    if (environment) LiteRtDestroyEnvironment(environment);
  }

  void open(const std::string& path, const Contract& contract) {
    const LiteRtEnvOption quiet = {kLiteRtEnvOptionTagMinLoggerSeverity, {kLiteRtAnyTypeInt, kLiteRtLogSeverityError}};
    check(LiteRtCreateEnvironment(1, &quiet, &environment), "start");
    check(LiteRtCreateModelFromFile(environment, path.c_str(), &model), "read " + path);
    check(LiteRtCreateOptions(&options), "make options");
    check(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu), "take the CPU");
    check(LiteRtCreateCompiledModel(environment, model, options, &compiled), "prepare " + path);
    LiteRtSignature signature = nullptr;
    std::size_t inputs = 0, outputs = 0;
    check(LiteRtGetModelSignature(model, 0, &signature), "find the signature");
    check(LiteRtGetNumSignatureInputs(signature, &inputs), "count the inputs");
    check(LiteRtGetNumSignatureOutputs(signature, &outputs), "count the outputs");
    if (inputs != 1 || outputs != 1) throw std::runtime_error("expected a file with one input and one output");
    LiteRtTensor tensor = nullptr;
    LiteRtTensorBufferRequirements needs = nullptr;
    check(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor), "find the input");
    check(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, &needs), "say what the input needs");
    input = buffer(tensor, needs, contract.pixels(), contract.takes_bytes);
    check(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor), "find the output");
    check(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, 0, &needs), "say what the output needs");
    output = buffer(tensor, needs, contract.count, contract.gives_bytes);
  }

  LiteRtTensorBuffer buffer(LiteRtTensor tensor, LiteRtTensorBufferRequirements needs, std::size_t values, bool bytes) {
    LiteRtRankedTensorType type = {};
    LiteRtTensorBuffer made = nullptr;
    check(LiteRtGetRankedTensorType(tensor, &type), "say a tensor's type");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs, &made), "make a buffer");
    std::size_t size = 0;
    const LiteRtStatus status = LiteRtGetTensorBufferPackedSize(made, &size);
    const int wanted = bytes ? kLiteRtElementTypeUInt8 : kLiteRtElementTypeFloat32;
    if (status != 0 || type.element_type != wanted || size != values * (bytes ? 1 : sizeof(float))) {
      LiteRtDestroyTensorBuffer(made);
      throw std::runtime_error("expected the model file of this project, got one with other tensors");
    }
    return made;
  }
};

PictureModel::PictureModel(const Contract& contract, const std::string& folder)
    : contract_(contract), preprocess_(contract), engine_(new Engine), scores_(contract.count) {
  engine_->open(folder + "/" + contract.file, contract);
  labels_ = lines_of(folder + "/labels.txt");
  const std::string head = contract.head;
  const std::size_t wanted = head == "embedding" ? 0 : contract.is_binary() ? 2 : contract.count;
  if (labels_.size() != wanted) {
    throw std::runtime_error("expected " + std::to_string(wanted) + " lines in " + folder + "/labels.txt, got " +
                             std::to_string(labels_.size()));
  }
}

PictureModel::~PictureModel() = default;

std::vector<Label> PictureModel::run(const Picture& picture) { return labelled(scores(preprocess_.run(picture).data())); }

const std::vector<float>& PictureModel::scores(const std::uint8_t* pixels) {
  void* address = nullptr;
  check(LiteRtLockTensorBuffer(engine_->input, &address, kLiteRtTensorBufferLockModeWrite), "write the input");
  if (contract_.takes_bytes) {
    std::memcpy(address, pixels, contract_.pixels());
  } else {
    std::copy_n(pixels, contract_.pixels(), static_cast<float*>(address));
  }
  check(LiteRtUnlockTensorBuffer(engine_->input), "write the input");
  check(LiteRtRunCompiledModel(engine_->compiled, 0, 1, &engine_->input, 1, &engine_->output), "run");
  check(LiteRtLockTensorBuffer(engine_->output, &address, kLiteRtTensorBufferLockModeRead), "read the output");
  if (contract_.gives_bytes) {
    const std::uint8_t* raw = static_cast<const std::uint8_t*>(address);
    for (int i = 0; i < contract_.count; ++i) scores_[i] = contract_.scale * static_cast<float>(raw[i] - contract_.zero_point);
  } else {
    std::memcpy(scores_.data(), address, scores_.size() * sizeof(float));
  }
  check(LiteRtUnlockTensorBuffer(engine_->output), "read the output");
  return scores_;
}

std::vector<Label> PictureModel::labelled(const std::vector<float>& scores) const {
  std::vector<Label> labels;
  if (labels_.empty()) return labels;
  const std::vector<float> found = probabilities(contract_, scores);
  for (std::size_t i : decided(contract_, found)) labels.push_back({labels_[i], found[i]});
  return labels;
}

}  // namespace picture_model
