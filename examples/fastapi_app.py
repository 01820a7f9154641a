"""A FastAPI endpoint: one router for the application's life, hints from the request, errors as statuses.

    pip install fastapi uvicorn
    uvicorn fastapi_app:app --timeout-graceful-shutdown 20
                                       # with GLOBAL_API_KEY set, from the folder examples/

After SIGTERM the server takes no more requests and waits for those under way; then the lifespan ends, and the
router with it. Work that no request waits for (background tasks) has `DRAIN_S` to finish.

Tests hand in their own environment: `create_app(environ)`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import BaseModel

from hybridllm import PolicyDenied, RequestFailed, Router, RouterClosed, receipt

DRAIN_S = 5.0
POLICY = Path(__file__).parent.parent / "policies" / "api-first.yaml"


class Question(BaseModel):
    """What a client asks."""

    text: str
    residency: str | None = None


class Answer(BaseModel):
    """What it gets back, with what it cost."""

    text: str
    backend: str
    cost_usd: str


def create_app(environ: Mapping[str, str] | None = None) -> FastAPI:
    """Build the application; its router opens and closes with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Router.from_file(POLICY, environ=environ) as router:
            app.state.router = router
            yield
            await router.aclose(drain_s=DRAIN_S)

    app = FastAPI(lifespan=lifespan)

    @app.post("/questions")
    async def ask(
        question: Question, request: Request, tenant: Annotated[str, Header()] = "unknown"
    ) -> Answer:
        hints = {"residency": question.residency} if question.residency else {}
        try:
            reply = await request.app.state.router.chat.completions.create(
                task="qa",
                tenant=tenant,
                feature="questions",
                deadline_s=20,
                messages=[{"role": "user", "content": question.text}],
                **hints,
            )
        except PolicyDenied as denied:
            raise HTTPException(403, f"not allowed by policy: {denied.rule}") from denied
        except RequestFailed as failed:
            raise HTTPException(502, "no backend could answer") from failed
        except RouterClosed as closed:
            raise HTTPException(503, "the server is about to stop") from closed
        paid = receipt(reply)
        return Answer(
            text=reply.choices[0].message.content or "",
            backend=paid.attempts[-1].backend,
            cost_usd=str(paid.cost_usd),
        )

    return app


app = create_app()
