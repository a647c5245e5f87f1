"""Servers as processes, clients that ask them without a pause, and a stranger who asks how they are meanwhile.

python -m benchmarks.serving_load PORT SECONDS prints the milliseconds of each status endpoint;
PORT SECONDS CLIENTS TEXTS FILE those of requests with so many of the texts in a JSON file.
"""

import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mlops_assets import artifact

_READY_S = 120.0
STATUS = ("/live", "/ready", "/health", "/metrics")


async def load_with(
    port: int,
    texts: Sequence[str],
    clients: int,
    seconds: float,
    *,
    path: str = "/predict",
    form: Mapping[str, Any] | None = None,
    batch: int = 0,
) -> dict[str, Any]:
    """Ask from kept-alive connections without a pause; every status but 200 ends the measurement.

    The body is `{"text": …}`, or `form` with the text as the only one of `input`, or a batch of so many texts.
    """
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = number * 997
        while time.perf_counter() < until:
            text = texts[place % len(texts)]
            if batch:
                content: Mapping[str, Any] = {"texts": [texts[(place + index) % len(texts)] for index in range(batch)]}
            else:
                content = {"text": text} if form is None else {**form, "input": [text]}
            body = json.dumps(content).encode()
            place += batch or 1
            started = time.perf_counter()
            writer.write(
                b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode())
            latencies.append(time.perf_counter() - started)
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    await asyncio.gather(*(ask(number) for number in range(clients)))
    took = time.perf_counter() - began
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        "n": len(latencies),
        "per_s": round(len(latencies) / took, 1),
        "p50_ms": round(1000 * float(p50), 1),
        "p99_ms": round(1000 * float(p99), 1),
    }


def asked_meanwhile(port: int, seconds: float, every_s: float = 0.04) -> dict[str, dict[str, float]]:
    """Milliseconds of the status endpoints, asked in turn on one connection."""
    times: dict[str, list[float]] = {path: [] for path in STATUS}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for path, found in times.items():
            started = time.perf_counter()
            connection.request("GET", path)
            connection.getresponse().read()
            found.append(time.perf_counter() - started)
            time.sleep(every_s)
    connection.close()
    return {
        path.removeprefix("/"): {
            "n": len(found),
            **{f"p{share}_ms": round(1000 * float(np.percentile(found, share)), 1) for share in (50, 99)},
            "max_ms": round(1000 * max(found), 1),
        }
        for path, found in times.items()
    }


def saturated(process: psutil.Process, port: int, texts: Sequence[str], seconds: float = 10.0) -> dict[str, Any]:
    """Status endpoints and memory while 32 clients saturate inference.

    Who asks is a process of its own: in that of the clients it would measure how busy those are.
    """
    command = [sys.executable, "-m", "benchmarks.serving_load", str(port), str(seconds)]
    resident: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            resident.append(process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        rate = asyncio.run(load_with(port, texts, 32, seconds + 1.0))
        told, _ = asking.communicate()
    done.set()
    watching.join()
    return {"status": json.loads(told), "resident_mb": round(max(resident) / 2**20), "per_s": rate["per_s"]}


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, folder: Path | None = None, *, at: Path | None = None
) -> Iterator[tuple[psutil.Process, float]]:
    """A server process that works in `at`, with the seconds from its start to its first answer.

    A right one where `folder` is a sealed model.
    """
    started = time.perf_counter()
    # Threads of torch that spin while they wait make the reference a tenth as fast on a busy machine: not its due.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # noqa: TID251  handed to the programs that are measured
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=at, stdout=quiet, stderr=quiet, env=environment) as process:
        try:
            yield psutil.Process(process.pid), _ready(port, process, started, folder)
        finally:
            process.terminate()


def beside_batches(
    command: Sequence[str], port: int, texts: Sequence[str], seconds: float, at: Path | None = None
) -> dict[str, Any]:
    """Single texts of a client alone, four clients with batches of 1,000 alone, and both at the same time.

    The clients are processes of their own. `at` is the checkout whose server is measured.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file, running(command, port, at=at):
        json.dump(list(texts), file)
        file.flush()

        def asking(clients: int, batch: int) -> subprocess.Popen[str]:
            load = (port, seconds, clients, batch, file.name)
            arguments = [sys.executable, "-m", "benchmarks.serving_load", *map(str, load)]
            return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

        def told(process: subprocess.Popen[str]) -> dict[str, Any]:
            return json.loads(process.communicate()[0])

        told(asking(4, 1_000))
        figures = {"singles": told(asking(1, 0)), "batches": told(asking(4, 1_000))}
        both = asking(1, 0), asking(4, 1_000)
        figures |= {"singles_beside": told(both[0]), "batches_beside": told(both[1])}
    figures["times_p99"] = round(figures["singles_beside"]["p99_ms"] / figures["singles"]["p99_ms"], 1)
    figures["share_of_batches"] = round(figures["batches_beside"]["per_s"] / figures["batches"]["per_s"], 2)
    return figures


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time that the process took since it started."""
    times = process.cpu_times()
    return times.user + times.system


def _ready(port: int, process: subprocess.Popen[bytes], started: float, folder: Path | None) -> float:
    from mlops_assets.deploy.service_client import NoAnswer, ServiceClient

    golden = artifact.read_golden(folder)[0] if folder is not None else None
    client = ServiceClient("127.0.0.1", port)
    while process.poll() is None and time.perf_counter() < started + _READY_S:
        with contextlib.suppress(NoAnswer):
            ready = client.ask("GET", "/health" if golden is None else "/ready").status == 200
            if ready and (golden is None or _right(client.ask("POST", "/predict", {"text": golden.text}).body, golden)):
                return time.perf_counter() - started
        time.sleep(0.01)
    raise RuntimeError(f"no right answer within {_READY_S:g} s; the server's exit status: {process.returncode}")


def _right(answer: Mapping[str, Any], golden: artifact.Golden) -> bool:
    given = list(answer["probabilities"].values())
    return bool(np.abs(np.array(given) - np.array(golden.probabilities)).max() < 1e-2)


if __name__ == "__main__":
    port, seconds, *load = sys.argv[1:]
    if load:
        texts = json.loads(Path(load[2]).read_text(encoding="utf-8"))
        path = "/predict/batch" if int(load[1]) else "/predict"
        asked = load_with(int(port), texts, int(load[0]), float(seconds), path=path, batch=int(load[1]))
        print(json.dumps(asyncio.run(asked)))
    else:
        print(json.dumps(asked_meanwhile(int(port), float(seconds))))
