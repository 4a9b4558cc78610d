# One list of warnings for every target; errors only where DSV_WERROR asks for it (make test, CI).
add_library(dsv_warnings INTERFACE)
target_compile_options(dsv_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow $<$<BOOL:${DSV_WERROR}>:-Werror>)
