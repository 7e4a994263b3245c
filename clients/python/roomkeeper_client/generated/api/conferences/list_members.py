from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.failure import Failure
from ...models.list_members_role import ListMembersRole
from ...models.list_members_sort import ListMembersSort
from ...models.member_list import MemberList
from ...types import UNSET, Response, Unset


def _get_kwargs(
    room_id: str,
    *,
    limit: int | Unset = UNSET,
    cursor: str | Unset = UNSET,
    muted: bool | Unset = UNSET,
    held: bool | Unset = UNSET,
    role: ListMembersRole | Unset = UNSET,
    label_key: str | Unset = UNSET,
    sort: ListMembersSort | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["limit"] = limit

    params["cursor"] = cursor

    params["muted"] = muted

    params["held"] = held

    json_role: str | Unset = UNSET
    if not isinstance(role, Unset):
        json_role = role

    params["role"] = json_role

    params["label.key"] = label_key

    json_sort: str | Unset = UNSET
    if not isinstance(sort, Unset):
        json_sort = sort

    params["sort"] = json_sort

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/conferences/{room_id}/members".format(
            room_id=quote(str(room_id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Failure | MemberList | None:
    if response.status_code == 200:
        response_200 = MemberList.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = Failure.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Failure.from_dict(response.json())

        return response_401

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
) -> Response[Failure | MemberList]:
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
    limit: int | Unset = UNSET,
    cursor: str | Unset = UNSET,
    muted: bool | Unset = UNSET,
    held: bool | Unset = UNSET,
    role: ListMembersRole | Unset = UNSET,
    label_key: str | Unset = UNSET,
    sort: ListMembersSort | Unset = UNSET,
) -> Response[Failure | MemberList]:
    """List a conference's members

     Another app's conference gives 404 here.

    Args:
        room_id (str): A conference: its node, and a UUID in lower case.
        limit (int | Unset): The maximum number of rows. A larger number is reduced to the allowed
            maximum.
        cursor (str | Unset):
        muted (bool | Unset):
        held (bool | Unset):
        role (ListMembersRole | Unset):
        label_key (str | Unset):
        sort (ListMembersSort | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | MemberList]
    """

    kwargs = _get_kwargs(
        room_id=room_id,
        limit=limit,
        cursor=cursor,
        muted=muted,
        held=held,
        role=role,
        label_key=label_key,
        sort=sort,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    room_id: str,
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = UNSET,
    cursor: str | Unset = UNSET,
    muted: bool | Unset = UNSET,
    held: bool | Unset = UNSET,
    role: ListMembersRole | Unset = UNSET,
    label_key: str | Unset = UNSET,
    sort: ListMembersSort | Unset = UNSET,
) -> Failure | MemberList | None:
    """List a conference's members

     Another app's conference gives 404 here.

    Args:
        room_id (str): A conference: its node, and a UUID in lower case.
        limit (int | Unset): The maximum number of rows. A larger number is reduced to the allowed
            maximum.
        cursor (str | Unset):
        muted (bool | Unset):
        held (bool | Unset):
        role (ListMembersRole | Unset):
        label_key (str | Unset):
        sort (ListMembersSort | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | MemberList
    """

    return sync_detailed(
        room_id=room_id,
        client=client,
        limit=limit,
        cursor=cursor,
        muted=muted,
        held=held,
        role=role,
        label_key=label_key,
        sort=sort,
    ).parsed


async def asyncio_detailed(
    room_id: str,
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = UNSET,
    cursor: str | Unset = UNSET,
    muted: bool | Unset = UNSET,
    held: bool | Unset = UNSET,
    role: ListMembersRole | Unset = UNSET,
    label_key: str | Unset = UNSET,
    sort: ListMembersSort | Unset = UNSET,
) -> Response[Failure | MemberList]:
    """List a conference's members

     Another app's conference gives 404 here.

    Args:
        room_id (str): A conference: its node, and a UUID in lower case.
        limit (int | Unset): The maximum number of rows. A larger number is reduced to the allowed
            maximum.
        cursor (str | Unset):
        muted (bool | Unset):
        held (bool | Unset):
        role (ListMembersRole | Unset):
        label_key (str | Unset):
        sort (ListMembersSort | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | MemberList]
    """

    kwargs = _get_kwargs(
        room_id=room_id,
        limit=limit,
        cursor=cursor,
        muted=muted,
        held=held,
        role=role,
        label_key=label_key,
        sort=sort,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    room_id: str,
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = UNSET,
    cursor: str | Unset = UNSET,
    muted: bool | Unset = UNSET,
    held: bool | Unset = UNSET,
    role: ListMembersRole | Unset = UNSET,
    label_key: str | Unset = UNSET,
    sort: ListMembersSort | Unset = UNSET,
) -> Failure | MemberList | None:
    """List a conference's members

     Another app's conference gives 404 here.

    Args:
        room_id (str): A conference: its node, and a UUID in lower case.
        limit (int | Unset): The maximum number of rows. A larger number is reduced to the allowed
            maximum.
        cursor (str | Unset):
        muted (bool | Unset):
        held (bool | Unset):
        role (ListMembersRole | Unset):
        label_key (str | Unset):
        sort (ListMembersSort | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | MemberList
    """

    return (
        await asyncio_detailed(
            room_id=room_id,
            client=client,
            limit=limit,
            cursor=cursor,
            muted=muted,
            held=held,
            role=role,
            label_key=label_key,
            sort=sort,
        )
    ).parsed
