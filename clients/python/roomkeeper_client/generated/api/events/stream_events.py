from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.failure import Failure
from ...models.stream_event import StreamEvent
from ...models.stream_filter import StreamFilter
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    room_id: str | Unset = UNSET,
    event: list[StreamFilter] | Unset = UNSET,
    last_event_id: None | str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(last_event_id, Unset):
        headers["Last-Event-ID"] = last_event_id

    params: dict[str, Any] = {}

    params["room_id"] = room_id

    json_event: list[str] | Unset = UNSET
    if not isinstance(event, Unset):
        json_event = []
        for event_item_data in event:
            event_item: str = event_item_data
            json_event.append(event_item)

    params["event"] = json_event

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/events",
        "params": params,
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Failure | StreamEvent | None:
    if response.status_code == 200:
        response_200 = StreamEvent.from_dict(response.text)

        return response_200

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

    if response.status_code == 429:
        response_429 = Failure.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Failure.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Failure.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Failure | StreamEvent]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    room_id: str | Unset = UNSET,
    event: list[StreamFilter] | Unset = UNSET,
    last_event_id: None | str | Unset = UNSET,
) -> Response[Failure | StreamEvent]:
    """Follow events

     Server-sent events: the app's webhook events, with the webhook's body, byte for byte, as `data` and
    the event's name
    as `event`. In addition `member.talking` and `member.floor`, which are not stored and have no `id`.

    The first event is `stream.open`, with the `id` of the current position: read the state after it,
    then apply the
    events that follow. Each stored event comes once. To resume behind an event, at any replica, send
    its `id` as
    `Last-Event-ID`. If later events are no longer stored, or the store lost them, `stream.gap` lists
    the nodes and, if
    known, the number of missing events: read the state again. A comment comes every 15 seconds. The
    stream of one
    conference ends with its `conference.destroyed`; every stream ends when the server stops.

    ```text
    retry: 2000
    id: kzJ5b0Fj
    event: stream.open
    data: {"event":"stream.open","timestamp":"2026-05-
    06T12:34:56.000000Z","app_id":"demo","data":{"resumed":false}}

    id: p0VxYzM2
    event: call.answered
    data: {"event":"call.answered","timestamp":"2026-05-
    06T12:34:57.000000Z","app_id":"demo","session_uuid":"acW68-0b6b4f0a-6a4e-4a3e-9d4e-
    6f6b0c9d2a11","sequence":2,"data":{}}
    ```

    Args:
        room_id (str | Unset): A conference: its node, and a UUID in lower case.
        event (list[StreamFilter] | Unset):
        last_event_id (None | str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | StreamEvent]
    """

    kwargs = _get_kwargs(
        room_id=room_id,
        event=event,
        last_event_id=last_event_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    room_id: str | Unset = UNSET,
    event: list[StreamFilter] | Unset = UNSET,
    last_event_id: None | str | Unset = UNSET,
) -> Failure | StreamEvent | None:
    """Follow events

     Server-sent events: the app's webhook events, with the webhook's body, byte for byte, as `data` and
    the event's name
    as `event`. In addition `member.talking` and `member.floor`, which are not stored and have no `id`.

    The first event is `stream.open`, with the `id` of the current position: read the state after it,
    then apply the
    events that follow. Each stored event comes once. To resume behind an event, at any replica, send
    its `id` as
    `Last-Event-ID`. If later events are no longer stored, or the store lost them, `stream.gap` lists
    the nodes and, if
    known, the number of missing events: read the state again. A comment comes every 15 seconds. The
    stream of one
    conference ends with its `conference.destroyed`; every stream ends when the server stops.

    ```text
    retry: 2000
    id: kzJ5b0Fj
    event: stream.open
    data: {"event":"stream.open","timestamp":"2026-05-
    06T12:34:56.000000Z","app_id":"demo","data":{"resumed":false}}

    id: p0VxYzM2
    event: call.answered
    data: {"event":"call.answered","timestamp":"2026-05-
    06T12:34:57.000000Z","app_id":"demo","session_uuid":"acW68-0b6b4f0a-6a4e-4a3e-9d4e-
    6f6b0c9d2a11","sequence":2,"data":{}}
    ```

    Args:
        room_id (str | Unset): A conference: its node, and a UUID in lower case.
        event (list[StreamFilter] | Unset):
        last_event_id (None | str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | StreamEvent
    """

    return sync_detailed(
        client=client,
        room_id=room_id,
        event=event,
        last_event_id=last_event_id,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    room_id: str | Unset = UNSET,
    event: list[StreamFilter] | Unset = UNSET,
    last_event_id: None | str | Unset = UNSET,
) -> Response[Failure | StreamEvent]:
    """Follow events

     Server-sent events: the app's webhook events, with the webhook's body, byte for byte, as `data` and
    the event's name
    as `event`. In addition `member.talking` and `member.floor`, which are not stored and have no `id`.

    The first event is `stream.open`, with the `id` of the current position: read the state after it,
    then apply the
    events that follow. Each stored event comes once. To resume behind an event, at any replica, send
    its `id` as
    `Last-Event-ID`. If later events are no longer stored, or the store lost them, `stream.gap` lists
    the nodes and, if
    known, the number of missing events: read the state again. A comment comes every 15 seconds. The
    stream of one
    conference ends with its `conference.destroyed`; every stream ends when the server stops.

    ```text
    retry: 2000
    id: kzJ5b0Fj
    event: stream.open
    data: {"event":"stream.open","timestamp":"2026-05-
    06T12:34:56.000000Z","app_id":"demo","data":{"resumed":false}}

    id: p0VxYzM2
    event: call.answered
    data: {"event":"call.answered","timestamp":"2026-05-
    06T12:34:57.000000Z","app_id":"demo","session_uuid":"acW68-0b6b4f0a-6a4e-4a3e-9d4e-
    6f6b0c9d2a11","sequence":2,"data":{}}
    ```

    Args:
        room_id (str | Unset): A conference: its node, and a UUID in lower case.
        event (list[StreamFilter] | Unset):
        last_event_id (None | str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | StreamEvent]
    """

    kwargs = _get_kwargs(
        room_id=room_id,
        event=event,
        last_event_id=last_event_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    room_id: str | Unset = UNSET,
    event: list[StreamFilter] | Unset = UNSET,
    last_event_id: None | str | Unset = UNSET,
) -> Failure | StreamEvent | None:
    """Follow events

     Server-sent events: the app's webhook events, with the webhook's body, byte for byte, as `data` and
    the event's name
    as `event`. In addition `member.talking` and `member.floor`, which are not stored and have no `id`.

    The first event is `stream.open`, with the `id` of the current position: read the state after it,
    then apply the
    events that follow. Each stored event comes once. To resume behind an event, at any replica, send
    its `id` as
    `Last-Event-ID`. If later events are no longer stored, or the store lost them, `stream.gap` lists
    the nodes and, if
    known, the number of missing events: read the state again. A comment comes every 15 seconds. The
    stream of one
    conference ends with its `conference.destroyed`; every stream ends when the server stops.

    ```text
    retry: 2000
    id: kzJ5b0Fj
    event: stream.open
    data: {"event":"stream.open","timestamp":"2026-05-
    06T12:34:56.000000Z","app_id":"demo","data":{"resumed":false}}

    id: p0VxYzM2
    event: call.answered
    data: {"event":"call.answered","timestamp":"2026-05-
    06T12:34:57.000000Z","app_id":"demo","session_uuid":"acW68-0b6b4f0a-6a4e-4a3e-9d4e-
    6f6b0c9d2a11","sequence":2,"data":{}}
    ```

    Args:
        room_id (str | Unset): A conference: its node, and a UUID in lower case.
        event (list[StreamFilter] | Unset):
        last_event_id (None | str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | StreamEvent
    """

    return (
        await asyncio_detailed(
            client=client,
            room_id=room_id,
            event=event,
            last_event_id=last_event_id,
        )
    ).parsed
