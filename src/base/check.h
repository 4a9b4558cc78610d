// CHECK is for bugs of this program, never for input: it ends the process with the place and the
// condition. DCHECK is the same in debug builds and nothing in release builds, for inner loops.
#pragma once

namespace dsv {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace dsv

#define DSV_CHECK(condition)                                              \
  do {                                                                    \
    if (!(condition)) ::dsv::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#ifdef NDEBUG
#define DSV_DCHECK(condition) static_cast<void>(0)
#else
#define DSV_DCHECK(condition) DSV_CHECK(condition)
#endif
