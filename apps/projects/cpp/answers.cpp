#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "picture_model.h"

namespace picture_model {

bool Contract::is_sigmoid() const { return std::strncmp(head, "sigmoid", 7) == 0; }

std::vector<float> probabilities(const Contract& contract, const std::vector<float>& scores) {
  const std::string head = contract.head;
  std::vector<float> found = scores;
  if (head == "logits") {
    const float largest = *std::max_element(found.begin(), found.end());
    for (float& value : found) value = std::exp(value - largest);
    const float sum = std::accumulate(found.begin(), found.end(), 0.0f);
    for (float& value : found) value /= sum;
  } else if (head == "sigmoid-logits") {
    for (float& value : found) value = 0.5f * (1 + std::tanh(0.5f * value));
  }
  if (contract.is_binary()) found.insert(found.begin(), 1 - found[0]);
  return found;
}

std::vector<std::size_t> decided(const Contract& contract, const std::vector<float>& probabilities) {
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto is_more = [&](std::size_t a, std::size_t b) { return probabilities[a] > probabilities[b]; };
  std::stable_sort(order.begin(), order.end(), is_more);
  if (contract.is_binary()) return probabilities[1] > contract.threshold ? std::vector<std::size_t>{1, 0} : std::vector<std::size_t>{0, 1};
  if (contract.is_sigmoid()) {
    const auto is_no = [&](std::size_t i) { return !(probabilities[i] > contract.threshold); };
    order.erase(std::remove_if(order.begin(), order.end(), is_no), order.end());
  }
  return order;
}

float cosine(const std::vector<float>& a, const std::vector<float>& b) {
  const float product = std::inner_product(a.begin(), a.end(), b.begin(), 0.0f);
  const float first = std::inner_product(a.begin(), a.end(), a.begin(), 0.0f);
  return product / std::sqrt(first * std::inner_product(b.begin(), b.end(), b.begin(), 0.0f));
}

}  // namespace picture_model
