"""Times one hook of a Python plugin, without its server and the wire.

    python hook.py FRAMEWORK MODULE CLASS HOOK

FRAMEWORK is the package of the plugin framework. Each line of standard input
is {"payload": …, "seconds": …}: the hook is called with that payload, over and
over for so long, and the answer is a line {"ns": least time of one call,
"calls": …, "changed": whether the plugin answered with another payload}.
What is to be called is made before the clock starts.
"""

import asyncio
import copy
import importlib
import json
import logging
import sys
import time


def main():
    framework, module, name, hook = sys.argv[1:5]
    logging.disable(logging.CRITICAL)
    fw = importlib.import_module(framework)
    config = fw.PluginConfig(name="Bench", kind=f"{module}.{name}", version="1.0.0", hooks=[hook], config={})
    plugin = getattr(importlib.import_module(module), name)(config)
    kind = {"tool_pre_invoke": "ToolPreInvokePayload", "tool_post_invoke": "ToolPostInvokePayload"}[hook]
    payload_of = getattr(fw, kind)
    call = getattr(plugin, hook)

    async def serve():
        await plugin.initialize()
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            work = json.loads(line)
            least, calls, changed = None, 0, False
            end = time.perf_counter() + work["seconds"]
            while calls == 0 or time.perf_counter() < end:
                payload = payload_of(**copy.deepcopy(work["payload"]))
                context = fw.PluginContext(global_context=fw.GlobalContext(request_id="1"))
                start = time.perf_counter_ns()
                result = await call(payload, context)
                took = time.perf_counter_ns() - start
                least = took if least is None else min(least, took)
                calls += 1
                changed = result.modified_payload is not None
            print(json.dumps({"ns": least, "calls": calls, "changed": changed}), flush=True)

    asyncio.run(serve())


main()
