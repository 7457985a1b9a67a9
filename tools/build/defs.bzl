"""The rules that every C++ target of Tamer is made with."""

_COPTS = [
    "-std=c++17",
    "-fopenmp",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-sign-compare",
]

_LINKOPTS = [
    "-fopenmp",
    "-lpthread",
]

def tamer_library(name, copts = [], linkopts = [], **kwargs):
    """A library with Tamer's warnings, which are errors.

    Static only: Bazel would compile everything twice to make shared ones, too.
    """
    native.cc_library(
        name = name,
        linkstatic = True,
        copts = _COPTS + copts,
        linkopts = _LINKOPTS + linkopts,
        **kwargs
    )

def tamer_binary(name, copts = [], linkopts = [], **kwargs):
    native.cc_binary(
        name = name,
        copts = _COPTS + copts,
        linkopts = _LINKOPTS + linkopts,
        **kwargs
    )

def tamer_test(name, srcs = None, deps = [], copts = [], linkopts = [], **kwargs):
    """A GoogleTest; its source is NAME.cc unless said otherwise."""
    native.cc_test(
        name = name,
        srcs = srcs or [name + ".cc"],
        copts = _COPTS + copts,
        linkopts = _LINKOPTS + linkopts,
        deps = deps + ["//third_party:gtest_main"],
        **kwargs
    )

def tamer_proto(name, srcs, deps = [], **kwargs):
    """C++ code of `srcs` by the system's protoc, as a library.

    Bazel's own proto rules would download protoc and its sources.
    """
    headers = [src[:-len(".proto")] + ".pb.h" for src in srcs]
    sources = [src[:-len(".proto")] + ".pb.cc" for src in srcs]
    protos = name + "_protos"
    native.filegroup(
        name = protos,
        srcs = srcs + [dep + "_protos" for dep in deps],
        visibility = kwargs.get("visibility"),
    )
    root = "external/" + native.repository_name()[1:] if native.repository_name() != "@" else "."
    package = native.package_name()
    native.genrule(
        name = name + "_gen",
        srcs = [":" + protos],
        outs = headers + sources,
        cmd = "protoc --proto_path={root} --cpp_out=$(GENDIR)/{root} {files}".format(
            root = root,
            files = " ".join(["%s/%s/%s" % (root, package, src) for src in srcs]),
        ),
    )
    native.cc_library(
        name = name,
        srcs = sources,
        hdrs = headers,
        copts = ["-std=c++17"],
        linkstatic = True,
        deps = deps + ["//third_party:protobuf"],
        **kwargs
    )
