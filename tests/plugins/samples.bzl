"""Plugins for tests: tests/plugins/sample.h, each with one thing changed."""

# Name to what Edit() does; callbacks are lambdas without captures.
SAMPLES = {
    # Good ones.
    "good": "",
    "from_the_past": "op.struct_size = offsetof(TamerOp, backward); other_op.struct_size = op.struct_size;",
    "from_the_future": "static struct { TamerOp op; void* more[8]; } newer; newer.op = op; newer.op.struct_size = sizeof(newer); newer.more[3] = &newer; ops[0] = &newer; plugin.abi_version = 7;",
    # Refused when loaded.
    "entry_throws": "throw std::runtime_error(\"no mood\");",
    "entry_crashes": "*static_cast<volatile int*>(nullptr) = 1;",
    "entry_exits": "_Exit(3);",
    "no_struct_size": "plugin.struct_size = 0;",
    "no_abi_version": "plugin.abi_version = 0;",
    "needs_newer_host": "plugin.min_host_abi = 99;",
    "no_query": "plugin.query = nullptr;",
    "no_plugin_name": "plugin.name = nullptr;",
    "query_throws": "plugin.query = [](const char*) -> const TamerList* { throw 7; };",
    "offers_nothing": "plugin.query = [](const char*) -> const TamerList* { return nullptr; };",
    "null_table": "ops[1] = nullptr;",
    "endless_list": "list.count = 4000000000u;",
    "no_run": "op.run = nullptr;",
    "no_name": "op.name = nullptr;",
    "bad_name": "op.name = \"Doubled Op\";",
    "builtin_name": "op.name = \"Dense\";",
    "name_twice": "other_op.name = \"Doubled\";",
    "no_param_table": "op.params = nullptr;",
    "null_param": "params[1] = nullptr;",
    "param_type": "param.type = 99;",
    "param_name": "param.name = \"Al pha\";",
    "param_twice": "other_param.name = \"alpha\";",
    "param_reserved": "param.name = \"tamer_x\";",
    "param_default": "param.minimum = 2; param.maximum = 3;",
    "param_enum": "param.type = TAMER_PARAM_ENUM;",
    "destroy_alone": "op.destroy = [](void*) {};",
    # Refused when a network uses them.
    "infer_throws": "op.infer = [](void*, const TamerParams*, TamerInference*, TamerError*) -> TamerStatus { throw std::runtime_error(\"no shapes today\"); };",
    "infer_fails": "op.infer = [](void*, const TamerParams*, TamerInference*, TamerError* error) { return host->fail(error, \"the moon is not full\"); };",
    "infer_fails_silently": "op.infer = [](void*, const TamerParams*, TamerInference*, TamerError*) -> TamerStatus { return TAMER_FAILED; };",
    "no_output": "op.infer = [](void*, const TamerParams*, TamerInference*, TamerError*) -> TamerStatus { return TAMER_OK; };",
    "output_of_zero": "op.infer = [](void*, const TamerParams*, TamerInference* i, TamerError*) { const int64_t d[] = {-1, 0}; host->inference_add_output(i, TAMER_FLOAT, d, 2); return TAMER_OK; };",
    "output_of_rank": "op.infer = [](void*, const TamerParams*, TamerInference* i, TamerError*) { return host->inference_add_output(i, TAMER_FLOAT, nullptr, 1000); };",
    "output_of_type": "op.infer = [](void*, const TamerParams*, TamerInference* i, TamerError*) { const int64_t d[] = {-1}; return host->inference_add_output(i, 42, d, 1); };",
    "output_too_large": "op.infer = [](void*, const TamerParams*, TamerInference* i, TamerError*) { const int64_t d[] = {-1, int64_t{1} << 40, int64_t{1} << 40}; return host->inference_add_output(i, TAMER_FLOAT, d, 3); };",
    "weight_of_batch": "op.infer = [](void* u, const TamerParams* p, TamerInference* i, TamerError* e) { AddWeight(i, -1, TAMER_INIT_ZERO, 0); return Infer(u, p, i, e); };",
    "weight_initializer": "op.infer = [](void* u, const TamerParams* p, TamerInference* i, TamerError* e) { AddWeight(i, 4, 77, 0); return Infer(u, p, i, e); };",
    "state_unflagged": "op.infer = [](void* u, const TamerParams* p, TamerInference* i, TamerError* e) { AddWeight(i, 4, TAMER_INIT_ZERO, TAMER_VARIABLE_STATE); return Infer(u, p, i, e); };",
    # Refused when a network is compiled.
    "create_throws": "op.create = [](void*, const TamerKernelSpec*, TamerKernel*, TamerError*) -> TamerStatus { throw std::runtime_error(\"no kernel\"); };",
    "create_fails": "op.create = [](void*, const TamerKernelSpec*, TamerKernel*, TamerError* error) { return host->fail(error, \"no such kernel\"); };",
    "scratch_negative": "op.create = [](void*, const TamerKernelSpec*, TamerKernel* k, TamerError*) -> TamerStatus { k->scratch_bytes = -5; return TAMER_OK; };",
    # Errors of a run.
    "run_throws": "op.run = [](void*, const TamerCall*, TamerError*) -> TamerStatus { throw std::runtime_error(\"tired\"); };",
    "run_throws_odd": "op.run = [](void*, const TamerCall*, TamerError*) -> TamerStatus { throw 3; };",
    "run_fails": "op.run = [](void*, const TamerCall*, TamerError* error) { return host->fail(error, \"out of luck\"); };",
    "run_crashes": "op.run = [](void*, const TamerCall*, TamerError*) -> TamerStatus { *static_cast<volatile int*>(nullptr) = 1; return TAMER_OK; };",
    "run_aborts": "op.run = [](void*, const TamerCall*, TamerError*) -> TamerStatus { std::abort(); };",
    # Errors of a gradient.
    "gradient_unknown_op": "op.gradient = [](void*, const TamerParams*, TamerGradient* g, TamerError*) -> TamerStatus { host->gradient_emit(g, \"x\", \"Nonesuch\", \"\", nullptr, 0); return TAMER_OK; };",
    "gradient_bad_params": "op.gradient = [](void*, const TamerParams*, TamerGradient* g, TamerError*) -> TamerStatus { host->gradient_emit(g, \"x\", \"Scale\", \"factr: 2\", nullptr, 0); return TAMER_OK; };",
    "backward_throws": "op.backward = [](void*, const TamerBackward*, TamerError*) -> TamerStatus { throw std::runtime_error(\"one way only\"); };",
    # What `tamer plugins check` finds.
    "writes_beyond": "op.run = [](void* k, const TamerCall* c, TamerError* e) { static_cast<float*>(c->outputs[0].data)[c->outputs[0].elements] = 1; return Run(k, c, e); };",
    "writes_far_beyond": "op.run = [](void* k, const TamerCall* c, TamerError* e) { static_cast<float*>(c->outputs[0].data)[c->outputs[0].elements + 3000] = 1; return Run(k, c, e); };",
    "writes_input": "op.run = [](void* k, const TamerCall* c, TamerError* e) { const TamerStatus s = Run(k, c, e); static_cast<float*>(c->inputs[0].data)[0] = 1; return s; };",
    "writes_half": "op.run = [](void*, const TamerCall* c, TamerError*) -> TamerStatus { static_cast<float*>(c->outputs[0].data)[0] = 1; return TAMER_OK; };",
    "wrong_gradient": "op.backward = [](void*, const TamerBackward* c, TamerError*) -> TamerStatus { for (int64_t i = 0; i < c->outputs[0].elements; ++i) static_cast<float*>(c->input_gradients[0].data)[i] = 3; return TAMER_OK; };",
    "remembers": "op.run = [](void* k, const TamerCall* c, TamerError* e) { static int runs; const TamerStatus s = Run(k, c, e); static_cast<float*>(c->outputs[0].data)[0] += ++runs / 2; return s; };",
    "leaks": "op.create = [](void*, const TamerKernelSpec*, TamerKernel* k, TamerError*) -> TamerStatus { k->kernel = std::malloc(100); return TAMER_OK; };",
    "hides_nan": "op.run = [](void*, const TamerCall* c, TamerError*) -> TamerStatus { for (int64_t i = 0; i < c->outputs[0].elements; ++i) static_cast<float*>(c->outputs[0].data)[i] = 1; return TAMER_OK; }; op.backward = [](void*, const TamerBackward* c, TamerError*) -> TamerStatus { for (int64_t i = 0; i < c->outputs[0].elements; ++i) static_cast<float*>(c->input_gradients[0].data)[i] = 0; return TAMER_OK; };",
    "not_in_place": "op.flags = TAMER_OP_IN_PLACE; op.run = [](void*, const TamerCall* c, TamerError*) -> TamerStatus { const float* x = static_cast<const float*>(c->inputs[0].data); float* y = static_cast<float*>(c->outputs[0].data); const int64_t n = c->outputs[0].elements; for (int64_t i = 0; i < n; ++i) y[i] = x[n - 1 - i]; return TAMER_OK; };",
}

def sample_plugins():
    """A library lib<name>.so of each."""
    for name, edit in SAMPLES.items():
        native.genrule(
            name = name + "_cc",
            outs = [name + "_sample.cc"],
            cmd = "{ echo '#include \"tests/plugins/sample.h\"'; echo '#include <cstddef>'; " +
                  "printf '%s\\n' 'static void Edit() {'; cat <<'END'\n" + edit.replace("$", "$$") +
                  "\nEND\n echo '}'; } > $@",
        )
        native.cc_binary(
            name = "lib" + name + ".so",
            srcs = [name + "_sample.cc", "sample.h"],
            copts = ["-std=c++17", "-fvisibility=hidden", "-Wno-unused-function"],
            linkshared = True,
            deps = ["//plugins:tamer_plugin"],
        )
