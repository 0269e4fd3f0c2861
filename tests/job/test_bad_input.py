"""Bad input of every kind: a clear error, the right exit code, nothing half-written."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import pytest

MAIN = "run,dlio,mlperf"


def check(home, code, message, *args, tags=MAIN, **options):
    """Run, and expect an error with `code` that says `message` without a traceback."""
    home.forget_results()
    got, output = home.run(tags, *args, **options)
    assert got == code, output
    assert message in " ".join(output.split()), output
    assert "Traceback" not in output
    assert not list((home.work / "results").rglob("*.json"))
    return output


def test_missing_yaml(cm_home):
    check(cm_home, 1, "none.yaml", "--config=none.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "not valid YAML"),
        ("[]", "holds no settings"),
        ("dataset: {num_files_train: many}", "expected a whole number"),
        ("dataset: {format: hdf4}", "hdf4 is not supported"),
    ],
)
def test_malformed_yaml(cm_home, text, message):
    (cm_home.work / "bad.yaml").write_text(text)
    output = check(cm_home, 1, message, "--config=bad.yaml")
    assert "run-dlio-mlperf > run-dlio-loader > generate-dlio-dataset > get-dlio-workload" in output


def test_unknown_workload_variation_and_tags(cm_home):
    check(cm_home, 1, "b200", tags=f"{MAIN},_resnet50,_b200")
    check(cm_home, 1, "unet4d", tags=f"{MAIN},_unet4d")
    check(cm_home, 1, "dlioo", tags="run,dlioo,mlperf")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--params=dataset.num_files_train=many"], 1, "expected a whole number"),
        (["--params=dataset.num_file_train=3"], 1, "did you mean dataset.num_files_train?"),
        (["--params=epochs"], 1, "not KEY=VALUE"),
        (["--max_epochs=0"], 2, "--max_epochs must be at least 1"),
        (["--config="], 2, "--config needs a value"),
        (["--run_dir=results"], 2, "--run_dir"),
        (["--max_steps=abc"], 2, "--max_steps must be a whole number"),
        (["--max_step=3"], 2, "--max_steps"),
    ],
)
def test_wrong_values(cm_home, args, code, message):
    check(cm_home, code, message, *args)


def test_an_endpoint_that_does_not_answer(cm_home):
    keys = {"AWS_ACCESS_KEY_ID": "planted-key", "AWS_SECRET_ACCESS_KEY": "planted-secret"}
    output = check(
        cm_home, 3, "127.0.0.1:9", "--data_dir=s3://bucket/prefix",
        "--endpoint_url=http://127.0.0.1:9", tags=f"{MAIN},_s3", env=keys,
    )  # fmt: skip
    assert "planted" not in output


@pytest.mark.parametrize(
    "secret",
    [
        {"AZURE_STORAGE_KEY": "cGxhbnRlZA=="},
        {"AZURE_STORAGE_SAS_TOKEN": "sv=2021-12-02&sr=c&sp=rl&sig=cGxhbnRlZA%3D%3D"},
    ],
)
def test_an_azure_endpoint_that_does_not_answer(cm_home, secret):
    output = check(
        cm_home, 3, "127.0.0.1:9", "--data_dir=az://container/prefix",
        "--endpoint_url=http://127.0.0.1:9/account", tags=f"{MAIN},_azure", env=secret,
    )  # fmt: skip
    assert "cGxhbnRlZA" not in output


@pytest.mark.parametrize(
    "args",
    [
        ["--endpoint_url=http://me:planted-password@127.0.0.1:9", "--data_dir=s3://bucket"],
        ["--data_dir=s3://me:planted-password@bucket"],
    ],
)
def test_credentials_in_a_url_are_refused_and_not_printed(cm_home, args):
    for tags in (f"{MAIN},_s3", "setup,storage,backend,_s3"):
        output = check(cm_home, 1, "credentials do not belong in a URL", *args, tags=tags)
        assert "planted-password" not in output


def test_locations_of_other_backends_are_refused(cm_home):
    tags = f"{MAIN},_s3"
    check(cm_home, 1, "add _azure to the tags", "--data_dir=az://container/prefix", tags=tags)
    check(cm_home, 1, "is no S3 location", "--data_dir=gs://bucket/prefix", tags=tags)
    check(cm_home, 1, "--endpoint_url is for object storage", "--endpoint_url=http://127.0.0.1:9")


def test_a_stock_workload_and_a_file_exclude_each_other(cm_home):
    (cm_home.work / "own.yaml").write_text("dataset: {format: npz}")
    message = "a workload file and resnet50 exclude each other"
    check(cm_home, 2, message, "--config=own.yaml", tags=f"{MAIN},_resnet50")


def test_what_serves_another_recipe_says_so(cm_home):
    check(cm_home, 2, "run that one", tags="get,python,venv,storage")


@pytest.mark.parametrize("place", ["/proc/nothing", "a file"])
def test_results_that_cannot_be_written_are_said_before_anything_is_made(cm_home, place):
    (cm_home.work / "a file").write_text("")
    output = check(cm_home, 3, "choose another with --results_dir", f"--results_dir={place}")
    assert "generat" not in output.replace("generate-", "")


def test_an_endpoint_without_a_bucket_and_a_bucket_without_the_backend(cm_home):
    check(cm_home, 1, "needs a bucket", "--endpoint_url=http://127.0.0.1:9", tags=f"{MAIN},_s3")
    check(cm_home, 1, "add _s3", "--data_dir=s3://bucket")


WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


def test_a_data_folder_without_permission(cm_home, fast):
    """Root may write anywhere, so its right to do so is dropped."""
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run([*WITHOUT_RIGHTS, "true"], check=False).returncode:
            pytest.skip("setpriv cannot drop capabilities here")
    folder = cm_home.work / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    try:
        prefix = WITHOUT_RIGHTS if shutil.which("setpriv") else ()
        output = check(
            cm_home, 3, "Permission denied", f"--data_dir={folder}", f"--params={fast}",
            prefix=prefix,
        )  # fmt: skip
        assert str(folder) in output
        assert not list(folder.iterdir())
    finally:
        folder.chmod(0o700)


def in_small_file_system(folder, options):
    """Return the prefix of a command that sees a small file system at `folder`."""
    mount = f'mount -t tmpfs -o {options} none "{folder}" && exec "$@"'
    return ["unshare", "--mount", "--map-root-user", "--user", "sh", "-c", mount, "sh"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=1m", "not enough space: the data set needs"),
        ("size=64m,nr_inodes=12", "No space left"),
    ],
)
def test_a_full_disk(cm_home, fast, options, message):
    """The first is full before the start, the second in the middle: it has too few inodes."""
    folder = cm_home.work / "small"
    folder.mkdir(exist_ok=True)
    prefix = in_small_file_system(folder, options)
    if subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("this machine does not allow user namespaces with mounts")
    check(cm_home, 3, message, f"--data_dir={folder}", f"--params={fast}", prefix=prefix)
