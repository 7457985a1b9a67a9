"""For the WORKSPACE of a project that uses Tamer."""

def tamer_dependencies(path):
    """Local stubs of what Bazel would otherwise download; see docs/dependencies.md.

    Args:
      path: where Tamer's source is, as in local_repository(name = "tamer").
    """
    for name in ["rules_cc", "rules_java", "remote_coverage_tools"]:
        if not native.existing_rule(name):
            native.local_repository(
                name = name,
                path = path + "/third_party/" + name,
            )
