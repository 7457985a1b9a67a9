# Tamer in a program of one's own:
#   find_package(tamer REQUIRED)
#   target_link_libraries(program PRIVATE tamer::tamer)

if(NOT TARGET tamer::tamer)
  get_filename_component(_tamer_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
  add_library(tamer::tamer STATIC IMPORTED)
  set_target_properties(tamer::tamer PROPERTIES
    IMPORTED_LOCATION "${_tamer_prefix}/lib/libtamer.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_tamer_prefix}/include/tamer"
    INTERFACE_COMPILE_FEATURES cxx_std_17
    INTERFACE_COMPILE_OPTIONS "-fopenmp"
    INTERFACE_LINK_LIBRARIES "@LIBS@")
  unset(_tamer_prefix)
endif()
