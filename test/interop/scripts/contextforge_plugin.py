"""A plugin on all hooks of ContextForge's plugin framework, of its first era and
of the newest, that does what the payload asks for.

Somewhere in a payload, or in what http_pre_request has kept of the header X-Do,
stands "PLUGIN:HOOK=ACTION"; the last one of a hook counts, and without one the
hook passes. Each run is written down as a line of JSON in the file that the entry's
config names: what came, as the framework's models have it, before anything is
done about it.
"""

import asyncio
import json
import re

try:
    from cpex import framework
    from cpex.framework.hooks.registry import get_hook_registry
except ImportError:  # the first era
    from mcpgateway.plugins import framework
    from mcpgateway.plugins.framework.hooks.registry import get_hook_registry

from pydantic import BaseModel, ConfigDict

HOOKS = (
    "tool_pre_invoke tool_post_invoke prompt_pre_fetch prompt_post_fetch resource_pre_fetch resource_post_fetch "
    "http_pre_request http_post_request http_auth_resolve_user http_auth_check_permission "
    "agent_pre_invoke agent_post_invoke custom_lookup"
).split()

BIG = 9007199254740993  # 2^53 + 1, which no double holds

PluginPayload = getattr(framework, "PluginPayload", BaseModel)


class LookupPayload(PluginPayload):
    """The payload of a hook that is in nobody's list."""

    question: str
    more: dict = {}


class LooseResult(framework.PluginResult):
    """A result with members that no protocol names."""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)


get_hook_registry().register_hook("custom_lookup", LookupPayload, framework.PluginResult[LookupPayload])


def seen(text):
    """A text that shows that a plugin was there."""
    return text + " (seen)"


# What "modify" makes of each payload, in the form that the hook answers with.


def modify_tool_pre(p):
    p["args"]["text"] = seen(p["args"]["text"])
    p["args"]["added"] = {"n": BIG, "z": None}
    p["headers"] = {**(p["headers"] or {}), "X-Plugin": "tool"}
    return p


def modify_tool_post(p):
    p["result"]["content"][0]["text"] = seen(p["result"]["content"][0]["text"])
    p["result"]["structuredContent"]["added"] = {"n": BIG, "z": None}
    return p


def modify_prompt_pre(p):
    p["args"] = {name: seen(value) for name, value in p["args"].items()}
    return p


def modify_prompt_post(p):
    p["result"]["messages"][0]["content"]["text"] = seen(p["result"]["messages"][0]["content"]["text"])
    return p


def modify_resource_pre(p):
    p["uri"] += "-other"
    return p


def modify_resource_post(p):
    p["content"]["text"] = seen(p["content"]["text"])
    return p


def modify_agent(p):
    p["messages"][0]["content"]["text"] = seen(p["messages"][0]["content"]["text"])
    return p


def modify_custom(p):
    p["question"] = seen(p["question"])
    return p


MODIFY = {
    "tool_pre_invoke": modify_tool_pre,
    "tool_post_invoke": modify_tool_post,
    "prompt_pre_fetch": modify_prompt_pre,
    "prompt_post_fetch": modify_prompt_post,
    "resource_pre_fetch": modify_resource_pre,
    "resource_post_fetch": modify_resource_post,
    "agent_pre_invoke": modify_agent,
    "agent_post_invoke": modify_agent,
    "custom_lookup": modify_custom,
    "http_pre_request": lambda p: {**p["headers"], "x-plugin": "request", "authorization": "Bearer stolen"},
    "http_post_request": lambda p: {**(p["response_headers"] or {}), "x-plugin": "response"},
    "http_auth_resolve_user": lambda p: {
        "email": "ada@example.com",
        "full_name": None,
        "is_admin": False,
        "is_active": True,
    },
    "http_auth_check_permission": lambda p: {"granted": True, "reason": None},
}


class Probe(framework.Plugin):
    """Writes down what comes and does what it is asked to."""

    async def run(self, hook, payload, context):
        """One run of one hook."""
        wire = payload.model_dump(mode="json", by_alias=True, exclude_unset=True)
        self.record(hook, wire, context)
        text = json.dumps(wire)
        if hook == "http_pre_request":
            context.state["do"] = wire["headers"].get("x-do", "")
        found = re.findall(rf"{self.name}:{hook}=(\w+)", context.state.get("do", "") + " " + text)
        context.state.setdefault("trail", []).append(hook)
        context.state["big"] = {"n": BIG, "z": None}
        context.metadata["last"] = hook
        context.global_context.state["from " + self.name] = hook
        return await self.act(hook, found[-1] if found else "pass", payload)

    def record(self, hook, wire, context):
        """Appends a line; one write, so that lines of several processes stay whole."""
        line = {"plugin": self.name, "hook": hook, "payload": wire}
        line["context"] = context.model_dump(mode="json", exclude_unset=True)
        with open(self.config.config["record"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    async def act(self, hook, action, payload):
        """What was asked for."""
        result = get_hook_registry().get_result_type(hook)
        if action == "modify":
            return result(modified_payload=MODIFY[hook](payload.model_dump()), metadata={"by": self.name})
        if action == "deny":
            return result(modified_payload={"granted": False, "reason": "not on a Tuesday"})
        if action == "unknown":
            return LooseResult(continue_processing=True, metadata={"none": None}, future={"none": None})
        if action == "newer":  # members that results have since the framework is a package
            return LooseResult(retry_delay_ms=10, http_headers={"X-Plugin": "result", "Content-Length": "1"})
        if action == "raise":
            raise ValueError("the plugin raised this")
        if action == "hang":
            await asyncio.Event().wait()
        if action.startswith("violate"):
            more = {"violate_code": {"mcp_error_code": 4001}, "violate_reserved": {"mcp_error_code": -32001}}.get(action, {})
            if action == "violate_http":
                more = {"http_status_code": 429, "http_headers": {"Retry-After": "17", "X-Plugin": "no"}}
            violation = framework.PluginViolation(
                reason="Asked to", description="The caller asked for it", code="ASKED", details={"n": BIG, "z": None}, **more
            )
            return result(continue_processing=False, violation=violation)
        return result()


def on(hook):
    """The method for a hook."""

    async def method(self, payload, context):
        return await self.run(hook, payload, context)

    return method


for name in HOOKS:
    setattr(Probe, name, on(name))
