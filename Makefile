# The commands of the README. CMakePresets.json holds the settings of each build.
.PHONY: build demo test laws sanitize tsan clang fuzz clean
JOBS ?= $(shell nproc)

build:
	tools/setup.sh
	cmake --preset release -DDSV_TESTS=OFF
	cmake --build build -j $(JOBS) --target dsv4_cli libdsv4.a

demo: build
	build/dsv4 demo models/needle-text

test:
	tools/setup.sh
	cmake --preset release -DDSV_TESTS=ON -DDSV_WERROR=ON
	cmake --build build -j $(JOBS)
	ctest --test-dir build --output-on-failure -j $(JOBS)

# Ten thousand random operations on sessions and their store, each compared with a cold run.
laws:
	tools/setup.sh
	cmake --preset release -DDSV_TESTS=ON
	cmake --build build -j $(JOBS) --target timeline_test
	build/src/runtime/timeline_test --gtest_filter='*RandomOperations*' --gtest_shuffle --gtest_repeat=32 --gtest_brief=1

sanitize:
	tools/setup.sh
	cmake --preset dev
	cmake --build build-dev -j $(JOBS)
	ctest --test-dir build-dev --output-on-failure -j $(JOBS)

tsan:
	tools/setup.sh
	cmake --preset tsan
	cmake --build build-tsan -j $(JOBS) --target thread_tests
	ctest --test-dir build-tsan --output-on-failure -j $(JOBS) -L threads

clang:
	tools/setup.sh fuzz
	cmake --preset clang -DDSV_WERROR=ON
	cmake --build build-clang -j $(JOBS)
	ctest --test-dir build-clang --output-on-failure -j $(JOBS)

fuzz:
	tools/setup.sh fuzz
	tests/fuzz/run.sh $(SECONDS_PER_TARGET)

clean:
	rm -rf build build-*
