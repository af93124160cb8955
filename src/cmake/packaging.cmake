# Packages by CPack: the source as a tarball (target package_source), and Debian packages (target package) of the
# components: runtime is libpush0, its symbols for debuggers libpush0-dbgsym, development is libpush-dev. There is
# no debian/ folder.

set(CPACK_PACKAGE_NAME libpush)
set(CPACK_PACKAGE_VENDOR "the libpush authors")
set(CPACK_PACKAGE_CONTACT "the libpush authors <maintainers@libpush.invalid>" CACHE STRING
    "The maintainer that the packages name: who builds them for others puts himself here")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_VERBATIM_VARIABLES ON)

# ---- The source ----
set(CPACK_SOURCE_GENERATOR TGZ)
set(CPACK_SOURCE_PACKAGE_FILE_NAME libpush-${PROJECT_VERSION})
# What is in the checkout and no part of the source: all that .gitignore names.
string(REGEX REPLACE "([][+.*()^$?|\\])" "\\\\\\1" PUSH_SOURCE_REGEX "${PROJECT_SOURCE_DIR}")
set(CPACK_SOURCE_IGNORE_FILES "^${PUSH_SOURCE_REGEX}/build[^/]*/" "^${PUSH_SOURCE_REGEX}/\\.git(/|$)"
    "^${PUSH_SOURCE_REGEX}/compile_commands\\.json$" "^${PUSH_SOURCE_REGEX}/(.*/)?(node_modules|__pycache__)/" "\\.(o|pyc)$")

# ---- Debian ----
set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_STRIP_FILES OFF) # the debug symbols are split off instead

set(PUSH_SONAME_VERSION ${PROJECT_VERSION_MAJOR})
# The last part counts packagings of the same version; a distribution's own packages, from -1 on, replace these.
set(CPACK_DEBIAN_PACKAGE_RELEASE 0push1)
set(PUSH_DEB_VERSION ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SOURCE libpush)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libpush${PUSH_SONAME_VERSION})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RUNTIME_DEBUGINFO_PACKAGE ON)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "${PROJECT_DESCRIPTION} (shared library)
libpush fans messages out: push one message to a user, and every device of
that user gets it in a bounded mailbox of its own, from which threads, event
loops and pollers pull it. It is for servers that hold many connections, such
as WebSocket, SSE, long-poll, game and chat servers, and needs nothing but
the C library.

This package contains the shared library.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libpush-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "libpush${PUSH_SONAME_VERSION} (= ${PUSH_DEB_VERSION}), libc6-dev | libc-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "${PROJECT_DESCRIPTION} (development files)
libpush fans messages out: push one message to a user, and every device of
that user gets it in a bounded mailbox of its own, from which threads, event
loops and pollers pull it.

This package contains the header, the static library, the files for
pkg-config and CMake, the manual pages, and examples.")

# What a program that links the library depends on: symbols says it for each function, shlibs for all at once.
set(PUSH_DEB_DIR ${PROJECT_BINARY_DIR}/debian)
configure_file(src/cmake/shlibs.in ${PUSH_DEB_DIR}/shlibs @ONLY)
configure_file(src/cmake/symbols.in ${PUSH_DEB_DIR}/symbols @ONLY)
configure_file(src/cmake/triggers ${PUSH_DEB_DIR}/triggers COPYONLY)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA
    ${PUSH_DEB_DIR}/shlibs ${PUSH_DEB_DIR}/symbols ${PUSH_DEB_DIR}/triggers)

file(STRINGS LICENSE PUSH_COPYRIGHT_LINE REGEX "^Copyright")
string(REGEX REPLACE "^Copyright \\(c\\) " "" PUSH_COPYRIGHT "${PUSH_COPYRIGHT_LINE}")
file(READ LICENSE PUSH_LICENSE)
string(REGEX REPLACE "^.*\n(Permission is hereby .*)\n$" "\\1" PUSH_LICENSE "${PUSH_LICENSE}")
string(REPLACE "\n\n" "\n.\n" PUSH_LICENSE "${PUSH_LICENSE}")
string(REPLACE "\n" "\n " PUSH_LICENSE "${PUSH_LICENSE}")
configure_file(src/cmake/copyright.in ${PUSH_DEB_DIR}/copyright @ONLY)

configure_file(src/cmake/debian.cmake.in ${PUSH_DEB_DIR}/debian.cmake @ONLY)
configure_file(src/cmake/cpack.cmake.in ${PUSH_DEB_DIR}/cpack.cmake @ONLY)
set(CPACK_PROJECT_CONFIG_FILE ${PUSH_DEB_DIR}/cpack.cmake)

include(CPack)
