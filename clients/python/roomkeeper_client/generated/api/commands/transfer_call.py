from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.failure import Failure
from ...models.transfer_operation import TransferOperation
from ...models.transfer_to_destination import TransferToDestination
from ...models.transfer_to_extension import TransferToExtension
from ...types import Response


def _get_kwargs(
    uuid: str,
    *,
    body: TransferToDestination | TransferToExtension,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/sessions/{uuid}/commands/transfer".format(
            uuid=quote(str(uuid), safe=""),
        ),
    }

    if isinstance(body, TransferToDestination):
        _kwargs["json"] = body.to_dict()
    else:
        _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Failure | TransferOperation | None:
    if response.status_code == 202:
        response_202 = TransferOperation.from_dict(response.json())

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
) -> Response[Failure | TransferOperation]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    uuid: str,
    *,
    client: AuthenticatedClient | Client,
    body: TransferToDestination | TransferToExtension,
) -> Response[Failure | TransferOperation]:
    """Transfer a call

     FreeSWITCH calls the other side, and connects it with the call once it answers; until then the call
    hears a ringing
    tone. A member leaves its conference first, with the reason `transferred` and without post-actions.
    The webhook is
    `call.transferred`, or `call.transfer_failed` with the SIP status and FreeSWITCH's cause if nobody
    answers. When the
    other side hangs up, `call.transfer_ended` follows. Afterwards the call is parked. The other side is
    no session. An app
    transfers only to destinations and dialplan contexts that the operator allows; by default there are
    none.

    Args:
        uuid (str): A call: its node, and the UUID of its channel in lower case.
        body (TransferToDestination | TransferToExtension): The other side of a transfer.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | TransferOperation]
    """

    kwargs = _get_kwargs(
        uuid=uuid,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    uuid: str,
    *,
    client: AuthenticatedClient | Client,
    body: TransferToDestination | TransferToExtension,
) -> Failure | TransferOperation | None:
    """Transfer a call

     FreeSWITCH calls the other side, and connects it with the call once it answers; until then the call
    hears a ringing
    tone. A member leaves its conference first, with the reason `transferred` and without post-actions.
    The webhook is
    `call.transferred`, or `call.transfer_failed` with the SIP status and FreeSWITCH's cause if nobody
    answers. When the
    other side hangs up, `call.transfer_ended` follows. Afterwards the call is parked. The other side is
    no session. An app
    transfers only to destinations and dialplan contexts that the operator allows; by default there are
    none.

    Args:
        uuid (str): A call: its node, and the UUID of its channel in lower case.
        body (TransferToDestination | TransferToExtension): The other side of a transfer.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | TransferOperation
    """

    return sync_detailed(
        uuid=uuid,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    uuid: str,
    *,
    client: AuthenticatedClient | Client,
    body: TransferToDestination | TransferToExtension,
) -> Response[Failure | TransferOperation]:
    """Transfer a call

     FreeSWITCH calls the other side, and connects it with the call once it answers; until then the call
    hears a ringing
    tone. A member leaves its conference first, with the reason `transferred` and without post-actions.
    The webhook is
    `call.transferred`, or `call.transfer_failed` with the SIP status and FreeSWITCH's cause if nobody
    answers. When the
    other side hangs up, `call.transfer_ended` follows. Afterwards the call is parked. The other side is
    no session. An app
    transfers only to destinations and dialplan contexts that the operator allows; by default there are
    none.

    Args:
        uuid (str): A call: its node, and the UUID of its channel in lower case.
        body (TransferToDestination | TransferToExtension): The other side of a transfer.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | TransferOperation]
    """

    kwargs = _get_kwargs(
        uuid=uuid,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    uuid: str,
    *,
    client: AuthenticatedClient | Client,
    body: TransferToDestination | TransferToExtension,
) -> Failure | TransferOperation | None:
    """Transfer a call

     FreeSWITCH calls the other side, and connects it with the call once it answers; until then the call
    hears a ringing
    tone. A member leaves its conference first, with the reason `transferred` and without post-actions.
    The webhook is
    `call.transferred`, or `call.transfer_failed` with the SIP status and FreeSWITCH's cause if nobody
    answers. When the
    other side hangs up, `call.transfer_ended` follows. Afterwards the call is parked. The other side is
    no session. An app
    transfers only to destinations and dialplan contexts that the operator allows; by default there are
    none.

    Args:
        uuid (str): A call: its node, and the UUID of its channel in lower case.
        body (TransferToDestination | TransferToExtension): The other side of a transfer.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | TransferOperation
    """

    return (
        await asyncio_detailed(
            uuid=uuid,
            client=client,
            body=body,
        )
    ).parsed
