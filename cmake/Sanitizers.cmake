# DSV_SANITIZE is a comma-separated list for -fsanitize=, empty for none.
if(DSV_SANITIZE)
  add_compile_options(-fsanitize=${DSV_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
  add_link_options(-fsanitize=${DSV_SANITIZE})
endif()
if(DSV_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
