// Plugins in C++17: a small class becomes an op. This header needs
// tamer_plugin.h and nothing else; a plugin builds by
//   g++ -std=c++17 -O2 -shared -fPIC -fvisibility=hidden -I FOLDER
//       swish.cc -o libswish.so
//
//   #include "tamer_plugin.hpp"
//   using namespace tamer::plugin;
//
//   struct Swish : Op {
//     static constexpr char kName[] = "Swish";
//     static constexpr char kDoc[] = "x * sigmoid(beta * x).";
//     static constexpr uint32_t kFlags = kBackwardInputs;
//     float beta = 1;
//
//     template <typename Table>
//     static void Params(Table& table) {
//       table.Add("beta", &Swish::beta, "Steepness.").Range(0, 100);
//     }
//     void Forward(const Call& call) {
//       const float* x = call.input(0).floats();
//       float* y = call.output(0).floats();
//       Loop(call.output(0).size(),
//            [=](int64_t i) { y[i] = x[i] * Sigmoid(beta * x[i]); });
//     }
//     void Backward(const BackwardCall& call) { … }
//   };
//   TAMER_PLUGIN("swish", "1.0", Swish)
//
// An object is made for each kernel, its parameters filled in; it may keep what
// Prepare() computes from the shapes. What a function throws becomes the error
// that the user reads: throw Error("the last dimension must be even").
#ifndef TAMER_PLUGIN_HPP_
#define TAMER_PLUGIN_HPP_

#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "tamer_plugin.h"

// Hidden, so that two plugins built with different versions of this header
// never share a symbol. Classes derived from these would draw a warning for
// being less hidden in a build without -fvisibility=hidden.
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wattributes"
#endif
namespace tamer {
namespace plugin __attribute__((visibility("hidden"))) {

  // What the user did wrong, in words.
  class Error : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
  };

  // The host's services; set before anything else happens.
  inline const TamerHost*& Host() {
    static const TamerHost* host = nullptr;
    return host;
  }

  // ---- Tensors and shapes ----

  // Dimensions, outermost first; -k is k times the minibatch.
  using Dims = std::vector<int64_t>;
  constexpr int64_t kBatch = -1;

  // A view of a tensor; see TamerTensor.
  class Tensor {
   public:
    explicit Tensor(const TamerTensor& tensor) : tensor_(&tensor) {}
    // Whether there is data: a gradient that isn't wanted has none.
    explicit operator bool() const { return tensor_->data != nullptr; }
    float* floats() const { return static_cast<float*>(tensor_->data); }
    int32_t* ints() const { return static_cast<int32_t*>(tensor_->data); }
    uint8_t* bytes() const { return static_cast<uint8_t*>(tensor_->data); }
    int64_t size() const { return tensor_->elements; }
    int rank() const { return tensor_->rank; }
    int64_t dim(int i) const { return tensor_->dims[i]; }
    int64_t last() const { return rank() == 0 ? 1 : dim(rank() - 1); }
    // Product of all but the last dimension.
    int64_t rows() const { return size() / last(); }
    Dims dims() const { return Dims(tensor_->dims, tensor_->dims + rank()); }
    int type() const { return tensor_->type; }

   private:
    const TamerTensor* tensor_;
  };

  // "[B, 784]".
  inline std::string ToString(const Dims& dims) {
    std::string text = "[";
    for (size_t i = 0; i < dims.size(); ++i) {
      if (i > 0) text += ", ";
      if (dims[i] >= 0) {
        text += std::to_string(dims[i]);
      } else {
        text += (dims[i] == -1 ? "" : std::to_string(-dims[i])) + "B";
      }
    }
    return text + "]";
  }

  // ---- Loops ----

  namespace internal {

// The same code for each vector width: `flatten` inlines what the body calls.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  template <typename Body>
  __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma"), flatten,
                 optimize("O3", "no-trapping-math"))) void
  Run512(const Body body) {
    body();
  }
  template <typename Body>
  __attribute__((target("avx2,fma"), flatten,
                 optimize("O3", "no-trapping-math"))) void
  Run256(const Body body) {
    body();
  }
  inline int Width() {
    static const int width = __builtin_cpu_supports("avx512vl") ? 512
                             : __builtin_cpu_supports("avx2")   ? 256
                                                                : 128;
    return width;
  }
#else
  inline int Width() { return 128; }
  template <typename Body>
  void Run512(const Body body) {
    body();
  }
  template <typename Body>
  void Run256(const Body body) {
    body();
  }
#endif

  }  // namespace internal

  // Calls body() once, compiled for the machine's widest vectors: put the loops
  // that take the time inside, over pointers and numbers captured by value.
  template <typename Body>
  void Wide(const Body& body) {
    if (internal::Width() == 512) return internal::Run512(body);
    if (internal::Width() == 256) return internal::Run256(body);
    body();
  }

  // Calls body(begin, end) on ranges that cover [0, n), on Tamer's threads;
  // ranges have `grain` elements or more. An element's result must not depend
  // on the cut. The body must not throw.
  template <typename Body>
  void Ranges(int64_t n, int64_t grain, const Body& body) {
    if (n < 2 * grain) {
      if (n > 0) body(int64_t{0}, n);
      return;
    }
    Host()->parallel_for(
        n, grain,
        [](void* context, int64_t begin, int64_t end) {
          (*static_cast<const Body*>(context))(begin, end);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  // Calls body(i) for each i in [0, n): vectorised for the machine it runs on,
  // on Tamer's threads if there is much to do. Capture pointers and numbers by
  // value.
  template <typename Body>
  void Loop(int64_t n, const Body& body) {
    Ranges(n, int64_t{1} << 14, [&body](int64_t begin, int64_t end) {
      Wide([begin, end, body] {
        for (int64_t i = begin; i < end; ++i) body(i);
      });
    });
  }

  // e^x, without branches, so that loops vectorise; relative error below 3e-7.
  // Saturates beyond +-87.
  inline float Exp(float x) {
    x = x > 87.0f ? 87.0f : x;
    x = x < -87.0f ? -87.0f : x;
    // x = n ln 2 + r, |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to an integer.
    const float shifted = x * 1.44269504f + 12582912.0f;
    const float n = shifted - 12582912.0f;
    const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    float p = 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = (p * r + 1.0f) * r + 1.0f;
    uint32_t bits;
    std::memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits << 23) + 0x3f800000u;  // the integer is in the lowest bits
    float scale;
    std::memcpy(&scale, &bits, sizeof(scale));
    // A NaN stays one.
    return p * scale;
  }
  inline float Sigmoid(float x) { return 1.0f / (1.0f + Exp(-x)); }

  // The sum of a[i] * b[i], in sixteen strands so that it vectorises; their
  // order is fixed.
  inline float Dot(const float* a, const float* b, int64_t n) {
    float strands[16] = {};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      for (int s = 0; s < 16; ++s) strands[s] += a[i + s] * b[i + s];
    }
    float sum = 0;
    for (; i < n; ++i) sum += a[i] * b[i];
    for (float strand : strands) sum += strand;
    return sum;
  }

  // ---- What an op's functions get ----

  // A forward run.
  class Call {
   public:
    explicit Call(const TamerCall& call) : call_(call) {}
    Tensor input(int i) const { return Tensor(call_.inputs[i]); }
    Tensor variable(int i) const { return Tensor(call_.variables[i]); }
    Tensor output(int i) const { return Tensor(call_.outputs[i]); }
    void* scratch() const { return call_.scratch; }
    uint64_t step() const { return call_.step; }

   private:
    const TamerCall& call_;
  };

  // A backward run. Gradients that nobody wants, output gradients that are
  // zero, and what the flags don't ask for have no data.
  class BackwardCall {
   public:
    explicit BackwardCall(const TamerBackward& call) : call_(call) {}
    Tensor input(int i) const { return Tensor(call_.inputs[i]); }
    Tensor variable(int i) const { return Tensor(call_.variables[i]); }
    Tensor output(int i) const { return Tensor(call_.outputs[i]); }
    Tensor output_gradient(int i) const {
      return Tensor(call_.output_gradients[i]);
    }
    Tensor input_gradient(int i) const {
      return Tensor(call_.input_gradients[i]);
    }
    Tensor variable_gradient(int i) const {
      return Tensor(call_.variable_gradients[i]);
    }
    void* scratch() const { return call_.scratch; }
    uint64_t step() const { return call_.step; }

   private:
    const TamerBackward& call_;
  };

  // What a kernel is made for: shapes without data.
  class Spec {
   public:
    explicit Spec(const TamerKernelSpec& spec) : spec_(spec) {}
    Tensor input(int i) const { return Tensor(spec_.inputs[i]); }
    Tensor variable(int i) const { return Tensor(spec_.variables[i]); }
    Tensor output(int i) const { return Tensor(spec_.outputs[i]); }
    int inputs() const { return static_cast<int>(spec_.num_inputs); }
    int64_t batch() const { return spec_.batch; }
    bool backward() const { return spec_.direction == TAMER_BACKWARD; }
    // For prediction: state must not be changed.
    bool inference() const { return spec_.inference != 0; }
    // For Host()->fill_uniform and fill_gaussian.
    uint64_t stream_key() const { return spec_.stream_key; }
    // The node's name, for messages.
    const char* node() const { return spec_.node; }

   private:
    const TamerKernelSpec& spec_;
  };

  // What a shape rule asks and tells.
  class Inference {
   public:
    explicit Inference(TamerInference* inference) : inference_(inference) {}
    int inputs() const {
      return static_cast<int>(Host()->inference_num_inputs(inference_));
    }
    Tensor input(int i) const {
      return Tensor(*Host()->inference_input(inference_, i));
    }
    void Output(const Dims& dims, int32_t type = TAMER_FLOAT) {
      Check(Host()->inference_add_output(inference_, type, dims.data(),
                                         static_cast<int32_t>(dims.size())));
    }
    // A weight that training changes. Biases go without decay.
    void Weight(const char* name, const Dims& dims,
                int32_t initializer = TAMER_INIT_XAVIER, double a = 0,
                double b = 0) {
      Add(name, dims, initializer, a, b,
          initializer == TAMER_INIT_ZERO
              ? static_cast<uint32_t>(TAMER_VARIABLE_NO_DECAY)
              : 0u);
    }
    // State that the op itself changes; needs kDiffersAtInference.
    void State(const char* name, const Dims& dims,
               int32_t initializer = TAMER_INIT_ZERO, double a = 0,
               double b = 0) {
      Add(name, dims, initializer, a, b, TAMER_VARIABLE_STATE);
    }

   private:
    struct Noted {};  // the host knows the error already

    void Add(const char* name, const Dims& dims, int32_t initializer, double a,
             double b, uint32_t flags) {
      TamerVariable variable;
      std::memset(&variable, 0, sizeof(variable));
      variable.struct_size = sizeof(variable);
      variable.flags = flags;
      variable.name = name;
      variable.dims = dims.data();
      variable.rank = static_cast<int32_t>(dims.size());
      variable.initializer = initializer;
      variable.a = a;
      variable.b = b;
      Check(Host()->inference_add_variable(inference_, &variable));
    }
    static void Check(TamerStatus status) {
      if (status != TAMER_OK) throw Noted();
    }

    TamerInference* inference_;
  };

  // ---- Parameters ----

  // The members of T that are parameters, in the order they were added. Only
  // ever add at the end: stored networks know parameters by their place.
  template <typename T>
  class ParamTable {
   public:
    class Added {
     public:
      explicit Added(TamerParam* param) : param_(param) {}
      Added& Range(double minimum, double maximum) {
        param_->minimum = minimum;
        param_->maximum = maximum;
        return *this;
      }
      // A string that names a file, relative to the recipe.
      Added& File() {
        param_->type = TAMER_PARAM_FILE;
        return *this;
      }

     private:
      TamerParam* param_;
    };

    // The default is what T{} has.
    Added Add(const char* name, float T::*member, const char* doc) {
      return Number(name, TAMER_PARAM_FLOAT, doc, default_.*member, member);
    }
    Added Add(const char* name, int64_t T::*member, const char* doc) {
      return Number(name, TAMER_PARAM_INT, doc,
                    static_cast<double>(default_.*member), member);
    }
    Added Add(const char* name, int T::*member, const char* doc) {
      return Number(name, TAMER_PARAM_INT, doc, default_.*member, member);
    }
    Added Add(const char* name, bool T::*member, const char* doc) {
      return Number(name, TAMER_PARAM_BOOL, doc, default_.*member ? 1 : 0,
                    member);
    }
    Added Add(const char* name, std::string T::*member, const char* doc) {
      texts_.push_back(default_.*member);
      TamerParam& param = New(name, TAMER_PARAM_STRING, doc);
      param.default_text = texts_.back().c_str();
      setters_.push_back(std::make_unique<StringSetter>(member));
      return Added(&param);
    }
    Added Add(const char* name, std::vector<float> T::*member,
              const char* doc) {
      setters_.push_back(std::make_unique<ListSetter<float>>(member));
      return Added(&New(name, TAMER_PARAM_FLOATS, doc));
    }
    Added Add(const char* name, std::vector<int64_t> T::*member,
              const char* doc) {
      setters_.push_back(std::make_unique<ListSetter<int64_t>>(member));
      return Added(&New(name, TAMER_PARAM_INTS, doc));
    }
    // One of `choices`, as its place among them.
    Added Add(const char* name, int T::*member, const char* doc,
              const std::vector<const char*>& choices) {
      choices_.push_back(choices);
      TamerParam& param = New(name, TAMER_PARAM_ENUM, doc);
      param.default_number = default_.*member;
      param.choices = choices_.back().data();
      param.num_choices = static_cast<uint32_t>(choices.size());
      setters_.push_back(std::make_unique<NumberSetter<int>>(member));
      return Added(&param);
    }

    const TamerParam* const* data() const { return pointers_.data(); }
    uint32_t size() const { return static_cast<uint32_t>(pointers_.size()); }

    void Fill(const TamerParams* params, T* object) const {
      for (uint32_t i = 0; i < setters_.size(); ++i) {
        setters_[i]->Set(params, i, object);
      }
    }

   private:
    struct Setter {
      virtual ~Setter() = default;
      virtual void Set(const TamerParams* params, uint32_t i, T* to) const = 0;
    };
    template <typename N>
    struct NumberSetter : Setter {
      explicit NumberSetter(N T::*member) : member(member) {}
      void Set(const TamerParams* params, uint32_t i, T* to) const override {
        if (std::is_floating_point<N>::value) {
          to->*member = static_cast<N>(Host()->param_float(params, i));
        } else {
          to->*member = static_cast<N>(Host()->param_int(params, i));
        }
      }
      N T::*member;
    };
    struct StringSetter : Setter {
      explicit StringSetter(std::string T::*member) : member(member) {}
      void Set(const TamerParams* params, uint32_t i, T* to) const override {
        to->*member = Host()->param_string(params, i);
      }
      std::string T::*member;
    };
    template <typename N>
    struct ListSetter : Setter {
      explicit ListSetter(std::vector<N> T::*member) : member(member) {}
      void Set(const TamerParams* params, uint32_t i, T* to) const override {
        std::vector<N>& list = to->*member;
        list.clear();
        for (uint32_t k = 0; k < Host()->param_count(params, i); ++k) {
          list.push_back(static_cast<N>(
              std::is_floating_point<N>::value
                  ? Host()->param_float_at(params, i, k)
                  : static_cast<double>(Host()->param_int_at(params, i, k))));
        }
      }
      std::vector<N> T::*member;
    };

    TamerParam& New(const char* name, int32_t type, const char* doc) {
      params_.emplace_back();
      TamerParam& param = params_.back();
      std::memset(&param, 0, sizeof(param));
      param.struct_size = sizeof(param);
      param.name = name;
      param.type = type;
      param.doc = doc;
      pointers_.push_back(&param);
      return param;
    }
    template <typename N>
    Added Number(const char* name, int32_t type, const char* doc, double value,
                 N T::*member) {
      TamerParam& param = New(name, type, doc);
      param.default_number = value;
      setters_.push_back(std::make_unique<NumberSetter<N>>(member));
      return Added(&param);
    }

    const T default_{};
    std::deque<TamerParam> params_;
    std::deque<std::string> texts_;
    std::deque<std::vector<const char*>> choices_;
    std::vector<const TamerParam*> pointers_;
    std::vector<std::unique_ptr<Setter>> setters_;
  };

  // ---- Kinds of plugin: derive from one of these ----

  constexpr uint32_t kInPlace = TAMER_OP_IN_PLACE;
  constexpr uint32_t kBackwardInPlace = TAMER_OP_BACKWARD_IN_PLACE;
  constexpr uint32_t kBackwardInputs = TAMER_OP_BACKWARD_INPUTS;
  constexpr uint32_t kBackwardOutputs = TAMER_OP_BACKWARD_OUTPUTS;
  constexpr uint32_t kIdentityAtInference = TAMER_OP_IDENTITY_AT_INFERENCE;
  constexpr uint32_t kDiffersAtInference = TAMER_OP_DIFFERS_AT_INFERENCE;
  constexpr uint32_t kAnyNumber = UINT32_MAX;

  struct Kind {
    static constexpr char kDoc[] = "";
    template <typename Table>
    static void Params(Table&) {}
  };

  // An op has kName, and Forward; to be trained through, Backward. Others have
  // the defaults below.
  struct Op : Kind {
    static constexpr uint32_t kFlags = kBackwardInputs | kBackwardOutputs;
    static constexpr uint32_t kMinInputs = 1;
    static constexpr uint32_t kMaxInputs = 0;  // as kMinInputs
    // For `tamer plugins check`; see TamerOp.examples.
    static std::vector<const char*> Examples() { return {}; }
    // The shape rule.
    void Infer(Inference& inference) const {
      inference.Output(inference.input(0).dims());
    }
    // Called once, before the runs.
    void Prepare(const Spec&) {}
    int64_t ScratchBytes() const { return 0; }
    void Backward(const BackwardCall&) {}
  };

  // y[i] = F(x[i]), by `float Value(float x) const` and its derivative, `float
  // Slope(float x) const`, as members of Self.
  template <typename Self>
  struct Elementwise : Op {
    static constexpr uint32_t kFlags =
        kInPlace | kBackwardInPlace | kBackwardInputs;
    void Forward(const Call& call) {
      const Self self = *static_cast<const Self*>(this);
      const float* x = call.input(0).floats();
      float* y = call.output(0).floats();
      Loop(call.output(0).size(), [=](int64_t i) { y[i] = self.Value(x[i]); });
    }
    void Backward(const BackwardCall& call) {
      const Self self = *static_cast<const Self*>(this);
      const float* x = call.input(0).floats();
      const float* dy = call.output_gradient(0).floats();
      float* dx = call.input_gradient(0).floats();
      if (dx == nullptr || dy == nullptr) return;
      Loop(call.input(0).size(),
           [=](int64_t i) { dx[i] = dy[i] * self.Slope(x[i]); });
    }
  };

  // A loss has `float Run(prediction, target, gradient)`: returns the mean over
  // the minibatch and overwrites the gradient. A metric has the same without a
  // gradient.
  struct Loss : Kind {
    // Whether the target is labels, INT32 [B].
    static constexpr bool kLabels = false;
    int64_t ScratchBytes() const { return 0; }
    void Prepare(const Spec&) {}
  };
  struct Metric : Kind {
    static constexpr bool kLabels = false;
    int64_t ScratchBytes() const { return 0; }
    void Prepare(const Spec&) {}
  };

  // An update rule has `static std::vector<const char*> States()` and `void
  // Update(const TamerUpdateCall&) const`, which several threads call at once
  // on different pieces.
  struct UpdateRule : Kind {};

  // A reader has `void Open(TamerDataset*)`, which describes the data and may
  // throw, and `void Read(begin, count, void* samples, int32_t* labels)`.
  struct Reader : Kind {};

  // ---- From classes to tables ----

  namespace internal {

  // Calls f, and turns what it throws into the error.
  template <typename F>
  TamerStatus Catch(TamerError* error, const F& f) {
    try {
      f();
      return TAMER_OK;
    } catch (const std::exception& exception) {
      return Host()->fail(error, exception.what());
    } catch (...) {
      return TAMER_FAILED;  // noted already, or no exception of the standard's
    }
  }

  template <typename T>
  const ParamTable<T>& ParamsOf() {
    static const ParamTable<T>* table = [] {
      auto* made = new ParamTable<T>;
      T::Params(*made);
      return made;
    }();
    return *table;
  }

  template <typename T>
  std::unique_ptr<T> NewFrom(const TamerParams* params) {
    auto object = std::make_unique<T>();
    ParamsOf<T>().Fill(params, object.get());
    return object;
  }

  template <typename T>
  TamerStatus Create(void*, const TamerKernelSpec* spec, TamerKernel* kernel,
                     TamerError* error) {
    return Catch(error, [&] {
      auto object = NewFrom<T>(spec->params);
      object->Prepare(Spec(*spec));
      kernel->scratch_bytes = object->ScratchBytes();
      kernel->kernel = object.release();
    });
  }
  template <typename T>
  void Destroy(void* kernel) {
    delete static_cast<T*>(kernel);
  }

  template <typename T, typename Table>
  void Describe(Table* table) {
    std::memset(table, 0, sizeof(*table));
    table->struct_size = sizeof(*table);
    table->name = T::kName;
    table->doc = T::kDoc;
    table->params = ParamsOf<T>().data();
    table->num_params = ParamsOf<T>().size();
  }

  template <typename T>
  const void* TableOf(const Op*) {
    static TamerOp table;
    static const std::vector<const char*>* examples =
        new std::vector<const char*>(T::Examples());
    Describe<T>(&table);
    table.flags = T::kFlags;
    table.min_inputs = T::kMinInputs;
    table.max_inputs = T::kMaxInputs;
    table.examples = examples->data();
    table.num_examples = static_cast<uint32_t>(examples->size());
    table.infer = [](void*, const TamerParams* params,
                     TamerInference* inference, TamerError* error) {
      return Catch(error, [&] {
        Inference view(inference);
        NewFrom<T>(params)->Infer(view);
      });
    };
    table.create = Create<T>;
    table.destroy = Destroy<T>;
    table.run = [](void* kernel, const TamerCall* call, TamerError* error) {
      return Catch(error,
                   [&] { static_cast<T*>(kernel)->Forward(Call(*call)); });
    };
    // An op that has a Backward of its own.
    if (!std::is_same<decltype(&T::Backward), decltype(&Op::Backward)>::value) {
      table.backward = [](void* kernel, const TamerBackward* call,
                          TamerError* error) {
        return Catch(error, [&] {
          static_cast<T*>(kernel)->Backward(BackwardCall(*call));
        });
      };
    }
    return &table;
  }

  template <typename T>
  const void* LossTable(TamerStatus (*run)(void*, const TamerLossCall*,
                                           TamerError*)) {
    static TamerLoss table;
    Describe<T>(&table);
    table.flags = T::kLabels ? TAMER_LOSS_LABELS : 0;
    table.create = Create<T>;
    table.destroy = Destroy<T>;
    table.run = run;
    return &table;
  }
  template <typename T>
  const void* TableOf(const Loss*) {
    return LossTable<T>([](void* kernel, const TamerLossCall* call,
                           TamerError* error) {
      return Catch(error, [&] {
        *call->value = static_cast<T*>(kernel)->Run(Tensor(*call->prediction),
                                                    Tensor(*call->target),
                                                    Tensor(*call->gradient));
      });
    });
  }
  template <typename T>
  const void* TableOf(const Metric*) {
    return LossTable<T>(
        [](void* kernel, const TamerLossCall* call, TamerError* error) {
          return Catch(error, [&] {
            *call->value = static_cast<T*>(kernel)->Run(
                Tensor(*call->prediction), Tensor(*call->target));
          });
        });
  }

  template <typename T>
  const void* TableOf(const UpdateRule*) {
    static TamerUpdateRule table;
    static const std::vector<const char*>* states =
        new std::vector<const char*>(T::States());
    Describe<T>(&table);
    table.states = states->data();
    table.num_states = static_cast<uint32_t>(states->size());
    table.create = [](void*, const TamerParams* params, void** kernel,
                      TamerError* error) {
      return Catch(error, [&] { *kernel = NewFrom<T>(params).release(); });
    };
    table.update = [](void* kernel, const TamerUpdateCall* call,
                      TamerError* error) {
      return Catch(error,
                   [&] { static_cast<const T*>(kernel)->Update(*call); });
    };
    table.destroy = Destroy<T>;
    return &table;
  }

  template <typename T>
  const void* TableOf(const Reader*) {
    static TamerReader table;
    Describe<T>(&table);
    table.open = [](void*, const TamerParams* params, TamerDataset* dataset,
                    TamerError* error) {
      return Catch(error, [&] {
        auto object = NewFrom<T>(params);
        object->Open(dataset);
        dataset->handle = object.release();
      });
    };
    table.read = [](void* handle, int64_t begin, int64_t count, void* samples,
                    int32_t* labels, TamerError* error) {
      return Catch(error, [&] {
        static_cast<T*>(handle)->Read(begin, count, samples, labels);
      });
    };
    table.close = Destroy<T>;
    return &table;
  }

  // Which list a class belongs to.
  inline const char* CapabilityOf(const Op*) { return TAMER_CAPABILITY_OPS; }
  inline const char* CapabilityOf(const Loss*) {
    return TAMER_CAPABILITY_LOSSES;
  }
  inline const char* CapabilityOf(const Metric*) {
    return TAMER_CAPABILITY_METRICS;
  }
  inline const char* CapabilityOf(const UpdateRule*) {
    return TAMER_CAPABILITY_UPDATES;
  }
  inline const char* CapabilityOf(const Reader*) {
    return TAMER_CAPABILITY_READERS;
  }

  template <typename... Classes>
  const TamerList* Query(const char* capability) {
    struct Entry {
      const char* capability;
      const void* table;
    };
    static const std::vector<Entry>* entries = new std::vector<Entry>{
        {CapabilityOf(static_cast<const Classes*>(nullptr)),
         TableOf<Classes>(static_cast<const Classes*>(nullptr))}...};
    struct List {
      std::string capability;
      std::vector<const void*> items;
      TamerList list;
    };
    static std::deque<List>* lists = [] {
      auto* made = new std::deque<List>;
      for (const char* name :
           {TAMER_CAPABILITY_OPS, TAMER_CAPABILITY_LOSSES,
            TAMER_CAPABILITY_METRICS, TAMER_CAPABILITY_UPDATES,
            TAMER_CAPABILITY_READERS}) {
        List list;
        list.capability = name;
        for (const Entry& entry : *entries) {
          if (std::strcmp(entry.capability, name) == 0) {
            list.items.push_back(entry.table);
          }
        }
        made->push_back(std::move(list));
      }
      for (List& list : *made) {
        list.list = {sizeof(TamerList),
                     static_cast<uint32_t>(list.items.size()),
                     list.items.data()};
      }
      return made;
    }();
    for (const List& list : *lists) {
      if (list.capability == capability && list.list.count > 0) {
        return &list.list;
      }
    }
    return nullptr;
  }

  template <typename... Classes>
  const TamerPlugin* Enter(const TamerHost* host, const char* name,
                           const char* version) {
    Host() = host;
    static TamerPlugin plugin;
    std::memset(&plugin, 0, sizeof(plugin));
    plugin.struct_size = sizeof(plugin);
    plugin.abi_version = TAMER_ABI_VERSION;
    plugin.min_host_abi = 1;
    plugin.name = name;
    plugin.version = version;
    plugin.query = Query<Classes...>;
    return &plugin;
  }

  }  // namespace internal
}  // namespace )
}  // namespace tamer

// The plugin's entry: its name, its version, and the classes it offers.
#define TAMER_PLUGIN(name, version, ...)                                     \
  extern "C" TAMER_PLUGIN_EXPORT const TamerPlugin* tamer_plugin_entry(      \
      const TamerHost* host) {                                               \
    return tamer::plugin::internal::Enter<__VA_ARGS__>(host, name, version); \
  }

#endif  // TAMER_PLUGIN_HPP_
