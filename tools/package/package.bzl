"""An installation of Tamer as one archive: what tools/install unpacks."""

def _static_package_impl(ctx):
    info = ctx.attr.library[CcInfo]
    archives, flags = [], []
    for linked in info.linking_context.linker_inputs.to_list():
        for library in linked.libraries:
            archive = library.static_library or library.pic_static_library
            if archive:
                archives.append(archive)
        for flag in linked.user_link_flags:
            if flag not in flags:
                flags.append(flag)
    headers = info.compilation_context.headers.to_list()

    # Where each header stands, and what it is included as.
    listed = ctx.actions.declare_file(ctx.label.name + ".headers")
    ctx.actions.write(listed, "".join([
        "%s %s\n" % (header.path, header.short_path)
        for header in headers
    ]))
    merge = ctx.actions.declare_file(ctx.label.name + ".mri")
    ctx.actions.write(merge, "create libtamer.a\n" + "".join([
        "addlib %s\n" % archive.path
        for archive in archives
    ]) + "save\nend\n")
    ctx.actions.run_shell(
        inputs = headers + archives + [listed, merge] + ctx.files.files,
        tools = [ctx.executable.tamer, ctx.executable.script],
        outputs = [ctx.outputs.archive],
        command = "%s %s %s %s %s '%s' %s" % (
            ctx.executable.script.path,
            ctx.outputs.archive.path,
            ctx.executable.tamer.path,
            listed.path,
            merge.path,
            " ".join(flags),
            " ".join([file.path for file in ctx.files.files]),
        ),
        mnemonic = "TamerPackage",
    )

static_package = rule(
    implementation = _static_package_impl,
    doc = "The command, a library with all its headers, and their documents.",
    attrs = {
        "library": attr.label(providers = [CcInfo], mandatory = True),
        "tamer": attr.label(executable = True, cfg = "target", mandatory = True),
        "script": attr.label(
            executable = True,
            cfg = "host",
            allow_files = True,
            mandatory = True,
        ),
        "files": attr.label_list(allow_files = True),
        "archive": attr.output(mandatory = True),
    },
)
