// SPDX-License-Identifier: GPL-2.0-or-later
// Arguments that come from JavaScript.
#pragma once
#include <napi.h>

#include <cstdint>
#include <string>

namespace drbdd {

struct Bytes {
  uint8_t *data = nullptr;
  size_t size = 0;
  /// True when [from, from + count) lies inside.
  bool holds(double from, double count) const {
    return from >= 0 && count >= 0 && from + count <= static_cast<double>(size);
  }
};

/// Memory behind a typed array or an ArrayBuffer; empty for anything else.
inline Bytes bytes_of(const Napi::Value &value) {
  if (value.IsTypedArray()) {
    auto array = value.As<Napi::TypedArray>();
    auto *base = static_cast<uint8_t *>(array.ArrayBuffer().Data());
    return {base + array.ByteOffset(), array.ByteLength()};
  }
  if (value.IsArrayBuffer()) {
    auto buffer = value.As<Napi::ArrayBuffer>();
    return {static_cast<uint8_t *>(buffer.Data()), buffer.ByteLength()};
  }
  return {};
}

inline int32_t int_of(const Napi::Value &value) {
  int32_t result = 0;
  napi_get_value_int32(value.Env(), value, &result);
  return result;
}

inline double double_of(const Napi::Value &value) {
  double result = 0;
  napi_get_value_double(value.Env(), value, &result);
  return result;
}

inline bool bool_of(const Napi::Value &value) { return value.ToBoolean().Value(); }

inline std::string text_of(const Napi::Value &value) { return value.ToString().Utf8Value(); }

inline Napi::Value number(Napi::Env env, double value) { return Napi::Number::New(env, value); }

inline Napi::Value range_error(Napi::Env env, const char *what) {
  Napi::RangeError::New(env, what).ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace drbdd
