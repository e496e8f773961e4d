"""Description of the device and the versions for model cards."""

from importlib.metadata import PackageNotFoundError, version

import ordlib
from ordlib.utils import device


def test_versions_need_no_installation_of_ordlib(monkeypatch):
    def found(name: str) -> str:
        if name == "ordlib":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(device, "version", found)
    versions = device.versions()
    assert versions["ordlib"] == ordlib.__version__
    assert versions["torch"] == version("torch")
    assert list(versions)[-1] == "ordlib"
