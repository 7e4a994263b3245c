from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.failure import Failure
from ...models.playback_operation import PlaybackOperation
from ...models.say import Say
from ...types import Response


def _get_kwargs(
    room_id: str,
    *,
    body: Say,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/conferences/{room_id}/say".format(
            room_id=quote(str(room_id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Failure | PlaybackOperation | None:
    if response.status_code == 202:
        response_202 = PlaybackOperation.from_dict(response.json())

        return response_202

    if response.status_code == 400:
        response_400 = Failure.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Failure.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Failure.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Failure.from_dict(response.json())

        return response_404

    if response.status_code == 408:
        response_408 = Failure.from_dict(response.json())

        return response_408

    if response.status_code == 409:
        response_409 = Failure.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = Failure.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Failure.from_dict(response.json())

        return response_415

    if response.status_code == 429:
        response_429 = Failure.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Failure.from_dict(response.json())

        return response_500

    if response.status_code == 502:
        response_502 = Failure.from_dict(response.json())

        return response_502

    if response.status_code == 503:
        response_503 = Failure.from_dict(response.json())

        return response_503

    if response.status_code == 504:
        response_504 = Failure.from_dict(response.json())

        return response_504

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Failure | PlaybackOperation]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    room_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: Say,
) -> Response[Failure | PlaybackOperation]:
    """Speak a text to a conference

     The text is queued like a file of `play`, after everything that already plays, and `pause`, `stop`
    and `volume` apply to it. The
    webhook `conference.play.started` comes at once with the `text`, `conference.play.finished` after
    its end.

    Args:
        room_id (str): A conference: its node, and a UUID in lower case.
        body (Say): A text to speak.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | PlaybackOperation]
    """

    kwargs = _get_kwargs(
        room_id=room_id,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    room_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: Say,
) -> Failure | PlaybackOperation | None:
    """Speak a text to a conference

     The text is queued like a file of `play`, after everything that already plays, and `pause`, `stop`
    and `volume` apply to it. The
    webhook `conference.play.started` comes at once with the `text`, `conference.play.finished` after
    its end.

    Args:
        room_id (str): A conference: its node, and a UUID in lower case.
        body (Say): A text to speak.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | PlaybackOperation
    """

    return sync_detailed(
        room_id=room_id,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    room_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: Say,
) -> Response[Failure | PlaybackOperation]:
    """Speak a text to a conference

     The text is queued like a file of `play`, after everything that already plays, and `pause`, `stop`
    and `volume` apply to it. The
    webhook `conference.play.started` comes at once with the `text`, `conference.play.finished` after
    its end.

    Args:
        room_id (str): A conference: its node, and a UUID in lower case.
        body (Say): A text to speak.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | PlaybackOperation]
    """

    kwargs = _get_kwargs(
        room_id=room_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    room_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: Say,
) -> Failure | PlaybackOperation | None:
    """Speak a text to a conference

     The text is queued like a file of `play`, after everything that already plays, and `pause`, `stop`
    and `volume` apply to it. The
    webhook `conference.play.started` comes at once with the `text`, `conference.play.finished` after
    its end.

    Args:
        room_id (str): A conference: its node, and a UUID in lower case.
        body (Say): A text to speak.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | PlaybackOperation
    """

    return (
        await asyncio_detailed(
            room_id=room_id,
            client=client,
            body=body,
        )
    ).parsed
