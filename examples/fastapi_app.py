"""A FastAPI endpoint: one router for the application's life, hints from the request, errors as statuses.

    pip install fastapi uvicorn
    uvicorn fastapi_app:app            # with GLOBAL_API_KEY set, from the folder examples/

Tests hand in their own environment: `create_app(environ)`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import BaseModel

from hybridllm import PolicyDenied, RequestFailed, Router, receipt

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
        paid = receipt(reply)
        return Answer(
            text=reply.choices[0].message.content or "",
            backend=paid.attempts[-1].backend,
            cost_usd=str(paid.cost_usd),
        )

    return app


app = create_app()
