# What `cmake --install` puts where: library, headers, program, pkg-config and CMake packages, the
# systemd unit, man pages and documents.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/comrade)

install(TARGETS comrade EXPORT comradeTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${static_library} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/comrade.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/comrade DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
if(TARGET comrade-program)
  install(TARGETS comrade-program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # The program prints its own pages, so that they cannot say something else than it does.
  set(pages_folder ${CMAKE_BINARY_DIR}/man1)
  add_custom_command(OUTPUT ${pages_folder}/comrade.1
    COMMAND ${CMAKE_SOURCE_DIR}/packaging/man-pages $<TARGET_FILE:comrade-program> ${pages_folder}
    DEPENDS comrade-program ${CMAKE_SOURCE_DIR}/packaging/man-pages VERBATIM
    COMMENT "Writing the man pages")
  add_custom_target(man_pages ALL DEPENDS ${pages_folder}/comrade.1)
  install(DIRECTORY ${pages_folder} DESTINATION ${CMAKE_INSTALL_MANDIR})
endif()

# The file finds the prefix from its own place, so that `cmake --install --prefix` and moved trees
# work.
file(RELATIVE_PATH PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
foreach(dir LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE ${CMAKE_INSTALL_${dir}})
    set(PC_${dir} ${CMAKE_INSTALL_${dir}})
  else()
    set(PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
configure_file(packaging/comrade.pc.in ${CMAKE_BINARY_DIR}/comrade.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/comrade.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(EXPORT comradeTargets NAMESPACE comrade:: DESTINATION ${package_dir})
configure_package_config_file(packaging/comradeConfig.cmake.in
  ${CMAKE_BINARY_DIR}/comradeConfig.cmake INSTALL_DESTINATION ${package_dir}
  PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/comradeConfigVersion.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/comradeConfig.cmake
  ${CMAKE_BINARY_DIR}/comradeConfigVersion.cmake DESTINATION ${package_dir})

set(unit_dir lib/systemd/system CACHE STRING "Where systemd looks for units")
install(FILES packaging/comrade@.service DESTINATION ${unit_dir})
# The README leads to the others by relative links: the tree stays as it is here.
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs examples DESTINATION ${CMAKE_INSTALL_DOCDIR} USE_SOURCE_PERMISSIONS
  REGEX "/docs/README\\.md$" EXCLUDE # it is for those who write them
  PATTERN CMakeLists.txt EXCLUDE PATTERN __pycache__ EXCLUDE)
