"""What `cmake --install` puts down can be used: from C and C++, by pkg-config and by CMake."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, HANG_S, IS_SANITIZED

pytestmark = pytest.mark.skipif(IS_SANITIZED, reason="a user's program is not sanitized")

USER_PROGRAM = r"""
#include <comrade.h>
#include <stdio.h>

/* The library has functions of these names. They are hidden, so a program may have its own. */
int buffer_init(void);
int buffer_init(void)
{
    return 7;
}

int main(int argc, char **argv)
{
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    comrade_cluster *cluster = NULL;
    comrade_client *client = NULL;
    comrade_members *members = NULL;
    comrade_error error;
    options.store = argc > 1 ? argv[1] : "memory:";
    if (comrade_cluster_open(&options, &cluster, &error) != COMRADE_OK ||
        comrade_client_new(cluster, NULL, &client, &error) != COMRADE_OK ||
        comrade_client_get_members(client, NULL, 5000, &members, &error) != COMRADE_OK) {
        printf("%s\n", error.message);
        return 1;
    }
    printf("%s %d %d\n", comrade_version(), (int)comrade_members_count(members), buffer_init());
    comrade_members_free(members);
    comrade_client_free(client);
    comrade_cluster_close(cluster);
    return 0;
}
"""
OUTPUT = "1.0.0 0 7\n"
MODULE = "comrade/libcomrade-store-postgres.so"
MODULES = {"postgres": MODULE, "datastore": "comrade/libcomrade-store-datastore.so"}
# Nobody listens there: whoever has the driver can say so.
NOBODY = "postgres://127.0.0.1:1/nowhere"
# What the documents lead to is not with them: in a clone only, or where its kind belongs.
ELSEWHERE = {"bindings/node", "../bindings/node/README.md", "CONTRIBUTING.md", "include/comrade.h",
             "packaging/comrade@.service"}

CMAKE_LISTS = """
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C CXX)
find_package(comrade 1.0 REQUIRED)
foreach(name comrade comrade_static)
  add_executable(c_${name} user.c)
  target_link_libraries(c_${name} PRIVATE comrade::${name})
  add_executable(cxx_${name} user.cpp)
  target_link_libraries(cxx_${name} PRIVATE comrade::${name})
endforeach()
"""


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True,
                          timeout=2 * HANG_S, check=False, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", BUILD, "--prefix", folder)
    return folder


@pytest.fixture(scope="module")
def libdir(prefix):
    return next(prefix.glob("lib*/**/libcomrade.so.1")).parent


@pytest.fixture
def sources(tmp_path):
    for name in ("user.c", "user.cpp"):
        (tmp_path / name).write_text(USER_PROGRAM)
    return tmp_path


def pkg_config(libdir, *arguments):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(libdir / "pkgconfig")}
    return run("pkg-config", *arguments, "comrade", env=environment).split()


def test_everything_is_where_it_belongs(prefix, libdir):
    installed = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*")
                 if not path.is_dir()}
    lib = libdir.relative_to(prefix).as_posix()
    expected = {"include/comrade.h", "include/comrade/store.h", f"{lib}/libcomrade.so",
                f"{lib}/libcomrade.so.1", f"{lib}/libcomrade.so.1.0.0", f"{lib}/libcomrade.a",
                f"{lib}/pkgconfig/comrade.pc", f"{lib}/cmake/comrade/comradeConfig.cmake",
                "bin/comrade", "lib/systemd/system/comrade@.service", "share/man/man1/comrade.1",
                "share/doc/comrade/README.md"} | {f"{lib}/{module}" for module in MODULES.values()}
    assert expected - installed == set()


def test_the_relative_links_of_the_installed_documents_lead_to_files(prefix):
    folder = prefix / "share/doc/comrade"
    links = [(path, target) for path in folder.rglob("*.md")
             for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", path.read_text())]
    assert (folder / "README.md", "docs/terminal.svg") in links
    assert {target for path, target in links if not (path.parent / target).exists()} == ELSEWHERE


def test_the_program_is_one_file_that_runs_anywhere(prefix):
    assert "1.0.0" in run(prefix / "bin/comrade", "version", env={"PATH": "/usr/bin:/bin"})
    assert "libcomrade" not in run("ldd", prefix / "bin/comrade")


# --- Drivers that are modules ---

def says_nobody_listens(*command, **variables):
    environment = {"PATH": "/usr/bin:/bin", **variables}
    done = subprocess.run([str(word) for word in command], env=environment, text=True,
                          capture_output=True, timeout=HANG_S, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Connection refused" in said or "is not installed" in said, said
    return "Connection refused" in said


def test_the_installed_program_finds_the_installed_driver(prefix, libdir, tmp_path):
    program = prefix / "bin/comrade"
    assert says_nobody_listens(program, "list", "--store", NOBODY)
    assert not says_nobody_listens(program, "list", "--store", NOBODY,
                                   COMRADE_MODULE_PATH=str(tmp_path))
    # The whole tree may be moved; the program alone has left the driver behind.
    moved = tmp_path / "moved"
    shutil.copytree(prefix, moved, symlinks=True)
    assert says_nobody_listens(moved / "bin/comrade", "list", "--store", NOBODY)
    module = moved / libdir.relative_to(prefix) / MODULE
    module.unlink()
    assert not says_nobody_listens(moved / "bin/comrade", "list", "--store", NOBODY)
    told = subprocess.run([moved / "bin/comrade", "list", "--store", NOBODY], text=True,
                          env={"PATH": "/usr/bin:/bin"}, capture_output=True, timeout=HANG_S,
                          check=False).stderr
    folders = re.search(rf"there is no {module.name} in ([^)]+)\)", told).group(1).split(", ")
    assert str(module.parent) in folders and len(folders) > 1, told


def test_the_program_finds_the_driver_that_was_built_with_it():
    assert says_nobody_listens(BUILD / "comrade", "list", "--store", NOBODY)


def test_a_users_program_finds_the_driver_beside_the_library(libdir, sources):
    program = sources / "program"
    run("gcc", sources / "user.c", "-o", program, *pkg_config(libdir, "--cflags", "--libs"))
    assert says_nobody_listens(program, NOBODY, LD_LIBRARY_PATH=str(libdir))


@pytest.mark.parametrize("name", MODULES)
def test_a_driver_is_a_component_of_its_own(libdir, prefix, tmp_path, name):
    run("cmake", "--install", BUILD, "--prefix", tmp_path, "--component", name)
    installed = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert installed == [libdir.relative_to(prefix) / MODULES[name]]


def test_the_installed_driver_for_datastore_is_loaded(prefix):
    program, store = prefix / "bin/comrade", "datastore://nobody?endpoint=http://127.0.0.1:1"
    environment = {"PATH": "/usr/bin:/bin", "DATASTORE_EMULATOR_HOST": "127.0.0.1:1"}
    told = subprocess.run([program, "list", "--store", store], text=True, env=environment,
                          capture_output=True, timeout=HANG_S, check=False)
    assert told.returncode == 2 and "DATASTORE_EMULATOR_HOST is set, and the URL has" in told.stderr
    for path in (prefix / "bin/comrade", *prefix.glob("lib*/**/libcomrade.so.1")):
        assert "libcurl" not in run("ldd", path), "only who needs it pays for it"


def test_the_soname_carries_the_major_version(libdir):
    assert "[libcomrade.so.1]" in run("readelf", "-d", libdir / "libcomrade.so")


@pytest.mark.parametrize("compiler, source", [
    (("gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"), "user.c"),
    (("g++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"), "user.cpp"),
])
def test_a_program_is_built_through_pkg_config(libdir, sources, compiler, source):
    flags = pkg_config(libdir, "--cflags", "--libs")
    program = sources / "program"
    run(*compiler, sources / source, "-o", program, *flags)
    assert run(program, env={"LD_LIBRARY_PATH": str(libdir)}) == OUTPUT


def test_a_program_is_built_statically_through_pkg_config(libdir, sources):
    flags = pkg_config(libdir, "--static", "--cflags", "--libs")
    program = sources / "program"
    # Names of users and hosts need glibc's shared parts even then: the linker says so, and it holds.
    run("gcc", "-static", sources / "user.c", "-o", program, *flags)
    assert run(program) == OUTPUT
    assert "NEEDED" not in run("readelf", "-d", program)


def test_programs_are_built_through_find_package(prefix, libdir, sources):
    (sources / "CMakeLists.txt").write_text(CMAKE_LISTS)
    build = sources / "build"
    run("cmake", "-S", sources, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    for name in ("c_comrade", "cxx_comrade", "c_comrade_static", "cxx_comrade_static"):
        assert run(build / name) == OUTPUT
    assert "libcomrade" in run("ldd", build / "c_comrade")
    assert "libcomrade" not in run("ldd", build / "c_comrade_static")
