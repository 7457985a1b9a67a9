"""Rules for plugins, in this workspace or in one that uses Tamer.

load("@tamer//plugins:defs.bzl", "tamer_plugin", "tamer_plugin_test")
"""

_COPTS = [
    "-std=c++17",
    "-O2",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
]

def tamer_plugin(name, srcs, deps = [], copts = [], linkopts = [], **kwargs):
    """A plugin, libNAME.so, that exports tamer_plugin_entry and nothing else.

    Its sources include "tamer_plugin.hpp" or "tamer_plugin.h". The build fails if
    the library exports another symbol, or not that one.
    """
    unchecked = name + "_unchecked.so"
    native.cc_binary(
        name = unchecked,
        srcs = srcs,
        copts = _COPTS + copts,
        linkopts = linkopts,
        linkshared = True,
        deps = deps + [str(Label("//plugins:tamer_plugin"))],
        visibility = ["//visibility:private"],
    )
    native.genrule(
        name = name,
        srcs = [":" + unchecked],
        outs = ["lib" + name + ".so"],
        cmd = "$(location %s) $(location :%s) && cp $(location :%s) $@" % (
            Label("//plugins:check_exports.sh"),
            unchecked,
            unchecked,
        ),
        tools = [str(Label("//plugins:check_exports.sh"))],
        **kwargs
    )

def tamer_plugin_test(name, plugin, tamer = None, **kwargs):
    """Runs `tamer plugins check` on a tamer_plugin.

    `tamer` is the command to run it with: Tamer's own, built here, or a binary
    that you have.
    """
    tamer = tamer or str(Label("//tools:tamer"))
    native.sh_test(
        name = name,
        srcs = [str(Label("//plugins:run_check.sh"))],
        args = ["$(location %s)" % tamer, "$(locations %s)" % plugin],
        data = [tamer, plugin],
        **kwargs
    )
