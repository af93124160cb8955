# Target docs: HTML (docs/html in the build folder) and manual pages (docs/man) from the comments in push.h, and in
# nats.h where libpush-nats is built. It fails where a public name, or a parameter, is not documented. Target
# architecture: the picture in src/README.md.

option(PUSH_BUILD_DOCS "Make the HTML and the manual pages with all else (needs Doxygen and Python)" OFF)
set(PUSH_DOCS_DIR ${PROJECT_BINARY_DIR}/docs)
set(PUSH_DOCS_INPUT ${PROJECT_SOURCE_DIR}/include)
set(PUSH_DOCS_HEADERS push.h)
if(PUSH_HAVE_NATS)
    string(APPEND PUSH_DOCS_HEADERS " nats.h")
endif()

find_program(PUSH_DOXYGEN doxygen)
find_program(PUSH_PYTHON NAMES python3 python)
find_program(PUSH_DOT dot)

if(PUSH_DOXYGEN AND PUSH_PYTHON)
    configure_file(src/docs/Doxyfile.in ${PUSH_DOCS_DIR}/Doxyfile @ONLY)
    add_custom_command(OUTPUT ${PUSH_DOCS_DIR}/made
        COMMAND ${CMAKE_COMMAND} -E rm -rf html xml man
        COMMAND ${PUSH_DOXYGEN} Doxyfile
        COMMAND ${PUSH_PYTHON} ${PROJECT_SOURCE_DIR}/src/docs/man.py xml man ${PROJECT_VERSION}
            ${PROJECT_SOURCE_DIR}/src/cmake/changelog
        COMMAND ${CMAKE_COMMAND} -E touch made
        DEPENDS ${PUSH_DOCS_DIR}/Doxyfile ${PROJECT_SOURCE_DIR}/include/push/push.h
            ${PROJECT_SOURCE_DIR}/include/push/nats.h ${PROJECT_SOURCE_DIR}/src/docs/man.py
            ${PROJECT_SOURCE_DIR}/src/cmake/changelog
        WORKING_DIRECTORY ${PUSH_DOCS_DIR}
        COMMENT "Making the documentation" VERBATIM)
    if(PUSH_BUILD_DOCS)
        set(all ALL)
    endif()
    add_custom_target(docs ${all} DEPENDS ${PUSH_DOCS_DIR}/made)
elseif(PUSH_BUILD_DOCS)
    message(FATAL_ERROR "The documentation needs Doxygen and Python. Without it: -DPUSH_BUILD_DOCS=OFF")
endif()

if(PUSH_INSTALL)
    # Where they were made. Each library's pages are installed with its header.
    install(DIRECTORY ${PUSH_DOCS_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR} OPTIONAL PATTERN "*push*nats*" EXCLUDE)
    if(PUSH_HAVE_NATS)
        install(DIRECTORY ${PUSH_DOCS_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT nats OPTIONAL
            FILES_MATCHING PATTERN "*push*nats*")
    endif()
endif()

if(PUSH_DOT)
    add_custom_target(architecture
        COMMAND ${PUSH_DOT} -Tsvg -o architecture.svg architecture.dot
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/src VERBATIM)
endif()
