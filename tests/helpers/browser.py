"""A headless Chromium for tests of pages: Debian's packages `chromium` and `chromium-driver`."""

import contextlib
import shutil
import time

import pytest

MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
needs_chromium = pytest.mark.skipif(
    bool(MISSING), reason=f"no {' and no '.join(MISSING)} here (Debian: apt-get install chromium chromium-driver)"
)


@contextlib.contextmanager
def chromium(profile):
    """Yield a headless Chromium whose profile is in a folder of its own; it reaches no network."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = shutil.which("chromium")
    switches = ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking")
    switches += ("disable-component-update", "disable-sync", "disable-dev-shm-usage", f"user-data-dir={profile}")
    for switch in switches:
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        driver.execute_cdp_cmd("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        yield driver
    finally:
        driver.quit()


def opened(driver, path, width, *, dark=False, anchor=""):
    """Open a page at a width, in light or dark, and wait until its plots are drawn."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get("about:blank")
    driver.get(f"{path.as_uri()}{anchor}")
    drawn(driver)


def drawn(driver):
    """Wait until all plots that are in sight are drawn."""
    left = "return [...document.querySelectorAll('.plot')].filter(p => p.clientWidth && !p.querySelector('svg')).length"
    until = time.monotonic() + 20
    while driver.execute_script(left):
        assert time.monotonic() < until, "a plot was not drawn"
        time.sleep(0.05)
    time.sleep(0.1)


def complaints(driver):
    """Return what the page has said on the console since it was last asked."""
    return [row["message"] for row in driver.get_log("browser") if row["level"] in ("SEVERE", "WARNING")]
