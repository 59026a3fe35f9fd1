"""Runs a module of ContextForge's with TLS: python contextforge_tls.py MODULE.

Its runtime hands ssl_cert_reqs to uvicorn as text, which no ssl module takes, so
that it does not start with TLS at all. Here it becomes a number on the way.
"""

import runpy
import sys

import uvicorn.config

released = uvicorn.config.create_ssl_context


def create_ssl_context(*args, **kwargs):
    kwargs["cert_reqs"] = int(kwargs["cert_reqs"])
    return released(*args, **kwargs)


uvicorn.config.create_ssl_context = create_ssl_context
runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
